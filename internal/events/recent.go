package events

// maxPassed bounds the keys that a lane remembers.
const maxPassed = 8192

// recent remembers the last keys of a subject.
type recent struct {
	// since is the sequence after which every key is remembered.
	since uint64
	keys  map[string]struct{}
	// ring holds the keys in their order; at is the oldest once it is full.
	ring []passedKey
	at   int
}

type passedKey struct {
	sequence uint64
	key      string
}

func (r *recent) reset(since uint64) {
	*r = recent{since: since, keys: map[string]struct{}{}}
}

func (r *recent) has(key string) bool {
	_, known := r.keys[key]
	return known
}

func (r *recent) add(sequence uint64, key string) {
	r.keys[key] = struct{}{}
	if len(r.ring) < maxPassed {
		r.ring = append(r.ring, passedKey{sequence, key})
		return
	}
	oldest := r.ring[r.at]
	delete(r.keys, oldest.key)
	r.since = max(r.since, oldest.sequence)
	r.ring[r.at] = passedKey{sequence, key}
	r.at = (r.at + 1) % maxPassed
}
