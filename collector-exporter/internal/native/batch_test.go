// SPDX-License-Identifier: Apache-2.0

//go:build cgo && linux && (amd64 || arm64)

package native

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func partOf(sequence uint64, payload []byte) Part {
	return Part{Writer: [16]byte{9}, Sequence: sequence, Len: uint64(len(payload))}
}

func TestBatchMergeAndAppendPayload(t *testing.T) {
	before := LiveBatches()
	first := batchOf(t, []byte("onetwo"), partOf(1, []byte("one")), partOf(2, []byte("two")))
	second := batchOf(t, []byte("three"), partOf(3, []byte("three")))
	empty := batchOf(t, nil)
	require.NoError(t, first.Merge(second))
	require.NoError(t, first.Merge(empty))
	assert.Equal(t, before+1, LiveBatches(), "the merged batch is freed")

	payload, err := first.AppendPayload([]byte("> "))
	require.NoError(t, err)
	assert.Equal(t, "> onetwothree", string(payload))
	assert.Len(t, first.Parts(), 3)
	first.Free()
	first.Free()
	assert.Equal(t, before, LiveBatches())
}

func TestBatchesOfTwoSignalsDoNotMerge(t *testing.T) {
	logs := batchOf(t, []byte("one"), partOf(1, []byte("one")))
	traces, err := NewBatch(SignalTraces, []byte("two"), []Part{partOf(2, []byte("two"))})
	require.NoError(t, err)
	defer traces.Free()
	require.ErrorContains(t, logs.Merge(traces), "different signals")
	payload, err := traces.AppendPayload(nil)
	require.NoError(t, err)
	assert.Equal(t, "two", string(payload))
}

func TestUnreachableBatchIsFreed(t *testing.T) {
	before := LiveBatches()
	for sequence := range uint64(100) {
		_, err := NewBatch(SignalLogs, []byte("one"), []Part{partOf(sequence, []byte("one"))})
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		runtime.GC()
		return LiveBatches() <= before
	}, time.Minute, time.Millisecond)
}

func TestBytesAreFreedOnceStored(t *testing.T) {
	handle := openTemporary(t)
	payload := logsPayload(t, "one")
	batch := batchOf(t, payload, partOf(1, payload))
	batch.SetRedelivered()
	_, err := handle.Export(t.Context(), batch, time.Time{})
	require.NoError(t, err)
	held, err := batch.AppendPayload(nil)
	require.NoError(t, err, "another batch may have had the request")
	assert.Equal(t, payload, held)

	batch = batchOf(t, payload, partOf(2, payload))
	_, err = handle.Export(t.Context(), batch, time.Time{})
	require.NoError(t, err)
	_, err = batch.AppendPayload(nil)
	require.ErrorContains(t, err, "let go")
	outcome, err := handle.Export(t.Context(), batch, time.Time{})
	require.NoError(t, err, "stored rows stay stored")
	assert.Equal(t, uint64(1), outcome.Rows)
}
