// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

var _ xexporterhelper.Request = (*request)(nil)

// request is what the exporter queues, merges and retries: OTLP protobuf bytes, and who they are.
//
// Concatenating two serialized Export*ServiceRequest messages is merging them, so a batch is never
// decoded on this side. Each part keeps its id through merging, the persistent queue and retries:
// that is how the library tells a repeated request from a new one.
type request struct {
	signal native.Signal
	// segments are the serialized messages, one or more parts in each.
	segments [][]byte
	// parts say who the bytes are, in the order of the segments' bytes.
	parts []native.Part
	// items counts log records, spans or data points.
	items int
	// bytes is the length of all segments.
	bytes int
	// received is when the oldest part was handed over by the pipeline.
	received time.Time
}

// ItemsCount gives the number of log records, spans or data points.
func (r *request) ItemsCount() int {
	return r.items
}

// BytesSize gives the length of the serialized messages.
func (r *request) BytesSize() int {
	return r.bytes
}

// MergeSplit appends other, if there is one. It never splits: a request's id must stay with all of its
// rows, and the library cuts files itself. Config.Validate refuses a max_size for that reason.
func (r *request) MergeSplit(_ context.Context, _ int, _ exporterhelper.RequestSizerType, other xexporterhelper.Request) ([]xexporterhelper.Request, error) {
	if other == nil {
		return []xexporterhelper.Request{r}, nil
	}
	next, ok := other.(*request)
	if !ok {
		return nil, fmt.Errorf("cannot merge a %T into an iceberg request", other)
	}
	if next.signal != r.signal {
		return nil, fmt.Errorf("cannot merge %s into %s", next.signal, r.signal)
	}
	r.segments = append(r.segments, next.segments...)
	r.parts = append(r.parts, next.parts...)
	r.items += next.items
	r.bytes += next.bytes
	if next.received.Before(r.received) {
		r.received = next.received
	}
	return []xexporterhelper.Request{r}, nil
}

// payload gives the bytes in one piece. The segments are joined on the first call and let go, so
// that merging many requests copies each byte once and a retry copies none.
func (r *request) payload() []byte {
	switch len(r.segments) {
	case 0:
		return nil
	case 1:
		return r.segments[0]
	}
	joined := make([]byte, 0, r.bytes)
	for i, segment := range r.segments {
		joined = append(joined, segment...)
		r.segments[i] = nil
	}
	r.segments = [][]byte{joined}
	return joined
}

// numberer gives requests their ids: a random writer per start of an exporter, and a counter. Each
// signal has its own, so that the ids of a batch are mostly one run of numbers.
type numberer struct {
	writer [16]byte
	last   atomic.Uint64
}

func newNumberer() *numberer {
	n := &numberer{}
	// Never fails: the program ends when there is no randomness to be had.
	_, _ = rand.Read(n.writer[:])
	return n
}

// number makes a request of one serialized message.
func (n *numberer) number(signal native.Signal, message []byte, items int) *request {
	return &request{
		signal:   signal,
		segments: [][]byte{message},
		parts: []native.Part{{
			Writer:   n.writer,
			Sequence: n.last.Add(1),
			Len:      uint64(len(message)),
		}},
		items:    items,
		bytes:    len(message),
		received: time.Now(),
	}
}
