// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// requireLiveBatches waits until the library holds no more batches than most.
func requireLiveBatches(t *testing.T, most int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		runtime.GC()
		return native.LiveBatches() <= most
	}, time.Minute, time.Millisecond, "batches are left")
}

func TestFinishedBatchesAreFreed(t *testing.T) {
	permanent := native.Error{Code: native.CodeDecode, RetryClass: native.RetryClassPermanent, Message: "no"}
	partial := native.Error{Code: native.CodeRejected, RetryClass: native.RetryClassPartial, Message: "one"}
	for name, answer := range map[string]func(exportCall) (native.Outcome, error){
		"stored":   nil,
		"given up": failingWith(permanent),
		"partial":  failingWith(partial),
	} {
		for _, onDisk := range []bool{false, true} {
			requireLiveBatches(t, 0)
			library := &fakeLibrary{answer: answer}
			disk := newMemoryStorage()
			cfg := fastConfig(t, func(cfg *Config) {
				if onDisk {
					cfg.QueueConfig.Get().StorageID = &storageID
				}
			})
			logs := startLogs(t, library, cfg, nopSettings(), hostWith(disk))
			for range 10 {
				require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
			}
			require.Eventually(t, func() bool {
				parts := 0
				for _, call := range library.exports() {
					parts += len(call.parts)
				}
				return parts == 10
			}, time.Minute, time.Millisecond)
			require.NoError(t, logs.Shutdown(t.Context()))
			assert.Zero(t, native.LiveBatches(), "%s, on disk: %v", name, onDisk)
		}
	}
}

func TestDroppedBatchIsFreedByGarbageCollection(t *testing.T) {
	library := &fakeLibrary{answer: failingWith(temporaryFailure)}
	cfg := fastConfig(t, func(cfg *Config) { cfg.QueueConfig.Get().Batch.Get().FlushTimeout = time.Hour })
	logs := startLogs(t, library, cfg, nopSettings(), componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	_ = logs.Shutdown(t.Context())
	require.NotEmpty(t, library.exports())
	requireLiveBatches(t, 0)
}

func TestLibraryHoldsBytesOnlyForAQueueInMemory(t *testing.T) {
	for _, onDisk := range []bool{false, true} {
		cfg := fastConfig(t, func(cfg *Config) {
			if onDisk {
				cfg.QueueConfig.Get().StorageID = &storageID
			}
		})
		e, err := newSignalExporter(nopSettings(), cfg, native.SignalLogs, newSharedHandles((&fakeLibrary{}).open))
		require.NoError(t, err)
		req, err := e.fromLogs(t.Context(), logsOf("one"))
		require.NoError(t, err)
		r := req.(*request)
		assert.Equal(t, onDisk, r.batch == nil)
		assert.Equal(t, onDisk, r.message != nil)
		r.free()
	}
}

func TestAssignedAll(t *testing.T) {
	ids := newRequestIDs()
	own := []native.Part{{Writer: ids.writer}, {Writer: ids.writer, Sequence: 1}}
	assert.True(t, ids.assignedAll(own))
	assert.False(t, ids.assignedAll(append(own, native.Part{Writer: newRequestIDs().writer})))
}

func TestFailedMergeChangesNothing(t *testing.T) {
	ids := newRequestIDs()
	logs := ids.newRequest(native.SignalLogs, []byte("one"), 1)
	metrics := ids.newRequest(native.SignalMetrics, []byte("two"), 1)
	require.NoError(t, metrics.ensureBatch())
	// Only a bug could cause this state.
	metrics.signal = native.SignalLogs
	_, err := logs.MergeSplit(t.Context(), 0, exporterhelper.RequestSizerTypeBytes, metrics)
	var failure *native.Error
	require.True(t, errors.As(err, &failure))
	assert.Equal(t, "one", payloadOf(t, logs))
	assert.Equal(t, "two", payloadOf(t, metrics))
	logs.free()
	metrics.free()
}
