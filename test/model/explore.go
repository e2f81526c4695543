package model

import (
	"fmt"
	"hash/maphash"
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

func (v visit) String() string { return v.broken + "\n\t" + strings.Join(v.story, "\n\t") }

// explorer visits worlds, those first that take the fewest moves.
type explorer struct {
	seed  maphash.Seed
	known map[uint64]int32
	// from and name are how each world was reached first; into are the worlds from
	// which it can be, good are those where every task has ended.
	from []int32
	name []string
	into [][]int32
	good []int32
}

// explore visits every world that can follow, and says which promise one of them
// breaks: one of those that hold at every moment, or that each task ends.
func explore(start world) visit {
	e := &explorer{seed: maphash.MakeSeed(), known: map[uint64]int32{}}
	start.canonical()
	e.note(start, -1, "")
	for level := []world{start}; len(level) > 0; {
		var next []world
		for _, w := range level {
			at := e.known[maphash.Comparable(e.seed, w)]
			if w.broken != "" {
				return visit{worlds: len(e.from), broken: w.broken, story: e.story(at)}
			}
			if w.isOver() {
				e.good = append(e.good, at)
			}
			for _, m := range w.moves() {
				m.to.canonical()
				if e.note(m.to, at, m.name) {
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
	return moves
}

// note remembers that a world can follow; true where it was not known.
func (e *explorer) note(w world, from int32, name string) bool {
	key := maphash.Comparable(e.seed, w)
	at, known := e.known[key]
	if !known {
		at = int32(len(e.from))
		e.known[key] = at
		e.from, e.name, e.into = append(e.from, from), append(e.name, name), append(e.into, nil)
	}
	if from >= 0 {
		e.into[at] = append(e.into[at], from)
	}
	return !known
}

// endless returns the first world from which no way leads to a good one; -1
// where there is none.
func (e *explorer) endless() int32 {
	reached := make([]bool, len(e.from))
	open := e.good
	for _, at := range open {
		reached[at] = true
	}
	for len(open) > 0 {
		at := open[len(open)-1]
		open = open[:len(open)-1]
		for _, from := range e.into[at] {
			if !reached[from] {
				reached[from] = true
				open = append(open, from)
			}
		}
	}
	for at, ok := range reached {
		if !ok {
			return int32(at)
		}
	}
	return -1
}

// story is how a world was reached.
func (e *explorer) story(at int32) []string {
	var story []string
	for ; e.from[at] >= 0; at = e.from[at] {
		story = append(story, e.name[at])
	}
	for i, j := 0, len(story)-1; i < j; i, j = i+1, j-1 {
		story[i], story[j] = story[j], story[i]
	}
	return story
}

// tell names a move of an actor.
func (w *world) tell(id actorID, at place) string {
	a := w.actors[id]
	return fmt.Sprintf("%s %d %s (task %d)", a.role, id, at, a.task)
}
