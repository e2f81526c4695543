package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size, written as a number of bytes or with a unit: 512MiB, 2GiB.
type Bytes int64

// sizeUnits goes from the largest down, so that a size prints in the largest
// unit that fits it exactly.
var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

// UnmarshalText reads a size.
func (b *Bytes) UnmarshalText(text []byte) error {
	for _, unit := range sizeUnits {
		number, found := strings.CutSuffix(string(text), unit.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/unit.bytes {
			return fmt.Errorf("size %q: want a number of bytes, or one with KiB, MiB, GiB or TiB", text)
		}
		*b = Bytes(n * unit.bytes)
		return nil
	}
	return nil
}

// String writes the size in the largest unit that fits it exactly.
func (b Bytes) String() string {
	for _, unit := range sizeUnits {
		if b != 0 && int64(b)%unit.bytes == 0 {
			return strconv.FormatInt(int64(b)/unit.bytes, 10) + unit.suffix
		}
	}
	return "0"
}
