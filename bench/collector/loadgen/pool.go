// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	poolRequestsMin = 4
	// Times are kept in tables in microseconds, and records of a request are this many of them apart on average:
	// one request at 100,000 records a second.
	microsPerRecord = 10
)

// pool holds requests that are encoded and wait to be sent. One that is in flight is not in it.
type pool struct {
	signal  signal
	records int
	bytes   int
	count   int
	free    chan *encoded

	mu   sync.Mutex
	next time.Time
}

// encoded is one request, and where its times are.
type encoded struct {
	bytes []byte
	times []patch
}

// patch is the place of a fixed64 in a request, and its nanoseconds after the first time of the request.
type patch struct {
	offset int
	nanos  uint64
}

// newPool encodes the requests, from a fixed seed: every run sends the same, but for the times.
func newPool(o options) (*pool, error) {
	kind, known := payloads[o.payload]
	if !known {
		return nil, errors.New("unknown payload " + o.payload)
	}
	if o.records < 1 || o.inFlight < 1 {
		return nil, errors.New("-records and -in-flight must be above 0")
	}
	random := rand.New(rand.NewPCG(42, uint64(len(o.payload))))
	p := &pool{signal: kind.signal, records: o.records}
	var made []*encoded
	for size := 0; len(made) < max(poolRequestsMin, o.inFlight) || size < o.poolBytes; {
		message, err := kind.make(random, o.records)
		if err != nil {
			return nil, err
		}
		request, err := newEncoded(message, kind.signal)
		if err != nil {
			return nil, err
		}
		made = append(made, request)
		size += len(message)
		p.bytes = len(message)
	}
	p.count = len(made)
	p.free = make(chan *encoded, len(made))
	for _, request := range made {
		p.free <- request
	}
	return p, nil
}

func newEncoded(message []byte, s signal) (*encoded, error) {
	offsets, err := timeOffsets(message, s)
	if err != nil {
		return nil, err
	}
	e := &encoded{bytes: message}
	for _, offset := range offsets {
		nanos := binary.LittleEndian.Uint64(message[offset:])
		e.times = append(e.times, patch{offset: offset, nanos: nanos})
	}
	return e, nil
}

// take gives a request that nobody else has, with times of now.
func (p *pool) take() *encoded {
	request := <-p.free
	begin := uint64(p.reserve().UnixNano())
	for _, patch := range request.times {
		binary.LittleEndian.PutUint64(request.bytes[patch.offset:], begin+patch.nanos)
	}
	return request
}

func (p *pool) give(request *encoded) {
	p.free <- request
}

// reserve gives a span of time that no other request has, now or as soon after as there is one.
func (p *pool) reserve() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	begin := time.Now().Truncate(time.Microsecond)
	if begin.Before(p.next) {
		begin = p.next
	}
	p.next = begin.Add(time.Duration(p.records) * microsPerRecord * time.Microsecond)
	return begin
}

func (p *pool) facts() map[string]any {
	return map[string]any{
		"requests":         p.count,
		"records":          p.records,
		"bytes_per_record": float64(p.bytes) / float64(p.records),
	}
}
