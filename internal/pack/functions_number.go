package pack

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"
)

func numberFunctions() map[string]any {
	return map[string]any{
		"int":       func(v any) int { return int(toInt(v)) },
		"int64":     toInt,
		"float64":   toFloat,
		"atoi":      func(s string) int { n, _ := strconv.Atoi(s); return n },
		"add1":      func(v any) int64 { return toInt(v) + 1 },
		"add":       func(values ...any) int64 { return fold(0, values, func(a, b int64) int64 { return a + b }) },
		"sub":       func(a, b any) int64 { return toInt(a) - toInt(b) },
		"mul":       func(a any, more ...any) int64 { return fold(toInt(a), more, func(a, b int64) int64 { return a * b }) },
		"div":       func(a, b any) int64 { return toInt(a) / toInt(b) },
		"mod":       func(a, b any) int64 { return toInt(a) % toInt(b) },
		"max":       func(a any, more ...any) int64 { return fold(toInt(a), more, largest) },
		"biggest":   func(a any, more ...any) int64 { return fold(toInt(a), more, largest) },
		"min":       func(a any, more ...any) int64 { return fold(toInt(a), more, smallest) },
		"ceil":      func(v any) float64 { return math.Ceil(toFloat(v)) },
		"floor":     func(v any) float64 { return math.Floor(toFloat(v)) },
		"round":     round,
		"addf":      func(values ...any) float64 { return exact(0.0, values, (*big.Rat).Add) },
		"add1f":     func(v any) float64 { return exact(v, []any{1}, (*big.Rat).Add) },
		"subf":      func(a any, more ...any) float64 { return exact(a, more, (*big.Rat).Sub) },
		"mulf":      func(a any, more ...any) float64 { return exact(a, more, (*big.Rat).Mul) },
		"divf":      func(a any, more ...any) float64 { return exact(a, more, (*big.Rat).Quo) },
		"until":     until,
		"untilStep": untilStep,
	}
}

func largest(a, b int64) int64 { return max(a, b) }

func smallest(a, b int64) int64 { return min(a, b) }

func fold(start int64, values []any, join func(a, b int64) int64) int64 {
	for _, v := range values {
		start = join(start, toInt(v))
	}
	return start
}

// exact calculates in decimal fractions, where 0.1 and 0.2 are 0.3, to 16 digits.
func exact(start any, values []any, join func(result, a, b *big.Rat) *big.Rat) float64 {
	sum := fraction(start)
	for _, v := range values {
		sum = join(new(big.Rat), sum, fraction(v))
	}
	rounded, _ := strconv.ParseFloat(sum.FloatString(16), 64)
	return rounded
}

func fraction(v any) *big.Rat {
	written, ok := new(big.Rat).SetString(strconv.FormatFloat(toFloat(v), 'g', -1, 64))
	if !ok {
		return new(big.Rat)
	}
	return written
}

// round keeps the digits after the point; at is where the next one rounds up.
func round(v any, digits int, at ...float64) float64 {
	up := 0.5
	if len(at) > 0 {
		up = at[0]
	}
	scale := math.Pow(10, float64(digits))
	scaled := toFloat(v) * scale
	if _, rest := math.Modf(scaled); rest >= up {
		return math.Ceil(scaled) / scale
	}
	return math.Floor(scaled) / scale
}

// until counts from 0 to the number, which it leaves out.
func until(end int) ([]int, error) {
	if end < 0 {
		return untilStep(0, end, -1)
	}
	return untilStep(0, end, 1)
}

func untilStep(start, end, step int) ([]int, error) {
	list := []int{}
	for i := start; (step > 0 && i < end) || (step < 0 && i > end); i += step {
		if len(list) >= maxList {
			return nil, fmt.Errorf("from %d to %d are more than %d numbers", start, end, maxList)
		}
		list = append(list, i)
	}
	return list, nil
}

// toInt returns a number without its fraction; what is no number is 0.
func toInt(v any) int64 {
	number := reflect.ValueOf(v)
	switch {
	case number.CanInt():
		return number.Int()
	case number.CanUint():
		return int64(number.Uint()) //nolint:gosec // wraps as Go's conversion does
	case number.CanFloat():
		return int64(number.Float())
	case number.Kind() == reflect.Bool && number.Bool():
		return 1
	case number.Kind() == reflect.String:
		whole, err := strconv.ParseInt(withoutZeroFraction(number.String()), 0, 64)
		if err != nil {
			return 0
		}
		return whole
	}
	return 0
}

func withoutZeroFraction(s string) string {
	whole, fraction, found := strings.Cut(s, ".")
	if found && strings.Trim(fraction, "0") == "" {
		return whole
	}
	return s
}

func toFloat(v any) float64 {
	number := reflect.ValueOf(v)
	switch {
	case number.CanFloat():
		return number.Float()
	case number.Kind() == reflect.String:
		f, err := strconv.ParseFloat(number.String(), 64)
		if err != nil {
			return 0
		}
		return f
	}
	return float64(toInt(v))
}
