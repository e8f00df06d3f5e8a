// SPDX-License-Identifier: Apache-2.0

//go:build cgo && linux && (amd64 || arm64)

package native

/*
#include "otlp2iceberg.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"sync/atomic"
)

// liveBatches counts the batches of the library that are not freed.
var liveBatches atomic.Int64

// LiveBatches gives how many batches the library holds for this process.
func LiveBatches() int64 {
	return liveBatches.Load()
}

// Batch is requests of one signal whose bytes the library holds, outside Go's heap. One goroutine at a time
// uses it. Free it when it is done with; one that is forgotten is freed when it is collected as garbage.
type Batch struct {
	// raw is nil once freed.
	raw     *C.o2i_batch
	cleanup runtime.Cleanup
	signal  Signal
	parts   []Part
	bytes   int
}

// NewBatch copies serialized Export*ServiceRequest messages of one signal, one after the other, that parts
// describe.
func NewBatch(signal Signal, payload []byte, parts []Part) (*Batch, error) {
	var (
		raw     *C.o2i_batch
		failure C.o2i_error
	)
	code := C.o2i_batch_new(C.uint32_t(signal), &raw, &failure)
	if err := takeError(code, &failure); err != nil {
		return nil, err
	}
	// Go keeps both slices where they are until the call returns; neither holds a Go pointer.
	code = C.o2i_batch_append(raw, bytesPointer(payload), C.size_t(len(payload)), partsPointer(cParts(parts)), C.size_t(len(parts)), &failure)
	if err := takeError(code, &failure); err != nil {
		C.o2i_batch_free(raw)
		return nil, err
	}
	liveBatches.Add(1)
	b := &Batch{raw: raw, signal: signal, parts: parts, bytes: len(payload)}
	b.cleanup = runtime.AddCleanup(b, freeBatch, &heldBatch{raw})
	return b, nil
}

// heldBatch holds a C pointer; an incomplete C type cannot be a type argument itself.
type heldBatch struct {
	raw *C.o2i_batch
}

func freeBatch(held *heldBatch) {
	C.o2i_batch_free(held.raw)
	liveBatches.Add(-1)
}

// Free lets go of the batch, with whatever it holds. Freeing again does nothing.
func (b *Batch) Free() {
	if b == nil || b.raw == nil {
		return
	}
	b.cleanup.Stop()
	freeBatch(&heldBatch{b.raw})
	b.raw, b.parts = nil, nil
}

// SetRedelivered says that some of the requests may have been in another batch before, as those are that come
// again from a queue on disk after a restart.
func (b *Batch) SetRedelivered() {
	C.o2i_batch_set_redelivered(b.raw)
	runtime.KeepAlive(b)
}

// Merge takes all requests of another batch of the same signal, which is freed. When it fails both are as
// they were.
func (b *Batch) Merge(other *Batch) error {
	var failure C.o2i_error
	code := C.o2i_batch_merge(b.raw, other.raw, &failure)
	runtime.KeepAlive(b)
	if err := takeError(code, &failure); err != nil {
		return fmt.Errorf("cannot merge batches: %w", err)
	}
	b.parts = append(b.parts, other.parts...)
	b.bytes += other.bytes
	other.Free()
	return nil
}

// Signal gives the requests' signal.
func (b *Batch) Signal() Signal {
	return b.signal
}

// Parts gives the requests, in order.
func (b *Batch) Parts() []Part {
	return b.parts
}

// AppendPayload appends the requests' messages to data, one after the other. It fails once the library has let
// them go, which it may do when the batch was exported.
func (b *Batch) AppendPayload(data []byte) ([]byte, error) {
	begin := len(data)
	data = append(data, make([]byte, b.bytes)...)
	payload := data[begin:]
	var failure C.o2i_error
	code := C.o2i_batch_copy(b.raw, bytesPointer(payload), C.size_t(len(payload)), &failure)
	runtime.KeepAlive(b)
	if err := takeError(code, &failure); err != nil {
		return data[:begin], err
	}
	return data, nil
}

// partsPointer gives the first of them, nil if there is none.
func partsPointer(list []C.o2i_part) *C.o2i_part {
	if len(list) == 0 {
		return nil
	}
	return &list[0]
}
