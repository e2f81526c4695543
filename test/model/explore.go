package model

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
)

// visit is all that was found from one world on.
type visit struct {
	worlds int
	// broken is the promise that does not hold, and how that came; empty where
	// all hold.
	broken string
	story  []string
}

// String is the promise and the story.
func (v visit) String() string { return v.broken + "\n\t" + strings.Join(v.story, "\n\t") }

// explorer visits worlds, those first that take the fewest moves. It knows them by
// a hash of 64 bits: of thirty million two are taken for one with a chance of one
// in forty thousand.
type explorer struct {
	start world
	seed  maphash.Seed
	known map[uint64]int32
	// from is whence each world was reached first.
	from []int32
	// moves are all that lead from a world to a world.
	moves [][2]int32
	// good are the worlds where every task has ended.
	good []int32
}

// explore visits every world that can follow, and says which promise one of them
// breaks: one of those that hold at every moment, or that each task ends.
func explore(start world) visit {
	start.canonical()
	e := &explorer{start: start, seed: maphash.MakeSeed(), known: map[uint64]int32{}}
	e.note(start, -1)
	for level := []world{start}; len(level) > 0; {
		var next []world
		for _, w := range level {
			at := e.at(w)
			if w.broken != "" {
				return visit{worlds: len(e.from), broken: w.broken, story: e.story(at)}
			}
			if w.isOver() {
				e.good = append(e.good, at)
			}
			for _, m := range w.moves() {
				if e.note(m.to, at) {
					next = append(next, m.to)
				}
			}
		}
		level = next
	}
	if at := e.endless(); at >= 0 {
		return visit{worlds: len(e.from), broken: "lost: no way leads to the end", story: e.story(at)}
	}
	return visit{worlds: len(e.from)}
}

// moves lists all that may happen next.
func (w *world) moves() []move {
	moves := w.befall()
	for id := range w.actors {
		moves = append(moves, w.step(actorID(id))...)
	}
	for i := range moves {
		moves[i].to.canonical()
	}
	return moves
}

func (e *explorer) at(w world) int32 { return e.known[maphash.Comparable(e.seed, w)] }

// note remembers that a world can follow; true where it was not known.
func (e *explorer) note(w world, from int32) bool {
	key := maphash.Comparable(e.seed, w)
	at, known := e.known[key]
	if !known {
		at = int32(len(e.from))
		e.known[key] = at
		e.from = append(e.from, from)
	}
	if from >= 0 {
		e.moves = append(e.moves, [2]int32{from, at})
	}
	return !known
}

// endless returns the first world from which no way leads to a good one; -1
// where there is none.
func (e *explorer) endless() int32 {
	slices.SortFunc(e.moves, func(a, b [2]int32) int { return cmp.Compare(a[1], b[1]) })
	ends := make([]bool, len(e.from))
	open := e.good
	for _, at := range open {
		ends[at] = true
	}
	for len(open) > 0 {
		at := open[len(open)-1]
		open = open[:len(open)-1]
		into, _ := slices.BinarySearchFunc(e.moves, at, func(m [2]int32, at int32) int { return cmp.Compare(m[1], at) })
		for ; into < len(e.moves) && e.moves[into][1] == at; into++ {
			if from := e.moves[into][0]; !ends[from] {
				ends[from] = true
				open = append(open, from)
			}
		}
	}
	return int32(slices.Index(ends, false))
}

// story is how a world was reached: its way is gone once more, with names.
func (e *explorer) story(at int32) []string {
	var way []int32
	for ; e.from[at] >= 0; at = e.from[at] {
		way = append(way, at)
	}
	var story []string
	w := e.start
	for _, next := range slices.Backward(way) {
		moves := w.moves()
		i := slices.IndexFunc(moves, func(m move) bool { return e.at(m.to) == next })
		story = append(story, w.tell(moves[i]))
		w = moves[i].to
	}
	return story
}
