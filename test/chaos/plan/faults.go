package plan

import "time"

// faults first kills workers with nothing else around it, then mixes all kinds.
func (p *planner) faults() {
	at := p.scale.Apart / 3
	for i := range p.scale.Plain {
		p.add(Step{At: at, Fault: &Fault{Kind: Kill, Victim: i % 3, For: p.scale.Apart / 4}})
		at += p.scale.Apart
	}
	away := p.scale.Publish / 2
	if p.scale.Away == 0 {
		away = p.scale.Publish * 10
	}
	for _, kind := range p.kinds(at) {
		if at > away {
			p.add(Step{At: at, Fault: &Fault{Kind: Away, For: p.scale.Away}})
			at += p.scale.Away + p.scale.Between*2
			away = p.scale.Publish * 10
		}
		p.add(Step{At: at, Fault: p.fault(kind)})
		at += p.scale.Between*3/4 + time.Duration(p.random.Int64N(int64(p.scale.Between/2)))
	}
}

// kinds shuffles the kinds again and again, as many as there is time for.
func (p *planner) kinds(from time.Duration) []string {
	if len(p.scale.Kinds) == 0 {
		return nil
	}
	room := p.scale.Publish - from
	if p.scale.Away > 0 {
		room -= p.scale.Away + p.scale.Between*2
	}
	var kinds []string
	for want := int(room / p.scale.Between); len(kinds) < want; {
		round := append([]string(nil), p.scale.Kinds...)
		p.random.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		kinds = append(kinds, round...)
		kinds = kinds[:min(len(kinds), want)]
	}
	return kinds
}

func (p *planner) fault(kind string) *Fault {
	ack, ttl := p.scale.AckWait, p.scale.LeaseTTL
	if ack == 0 {
		ack, ttl = 30*time.Second, 25*time.Second
	}
	f := &Fault{Kind: kind, Victim: p.random.IntN(3)}
	switch kind {
	case Kill, KillAt, Term:
		f.For = time.Duration(p.random.Int64N(int64(ack / 2)))
	case Stall, StallAt:
		f.For = ttl + ack/4 + time.Duration(p.random.Int64N(int64(ack)))
	case Cut:
		f.For = 0
	case NodeKill:
		f.For = p.scale.Between/8 + time.Duration(p.random.Int64N(int64(p.scale.Between/4)))
	case NodeStall:
		f.For = p.scale.Between / 2
	case DiskFull:
		f.Victim, f.For = 2, p.scale.Between/2
	}
	if kind == KillAt || kind == StallAt {
		f.Point = p.scale.Points[p.random.IntN(len(p.scale.Points))]
		f.Passed = p.random.IntN(2) == 0
	}
	return f
}
