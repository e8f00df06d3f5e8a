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

// noneLeft waits until no more batches are held than before.
func noneLeft(t *testing.T, before int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		runtime.GC()
		return native.LiveBatches() <= before
	}, time.Minute, time.Millisecond, "batches are left")
}

func TestEveryBatchIsFreedWhenItsEndIsKnown(t *testing.T) {
	for name, answer := range map[string]func(exported) (native.Outcome, error){
		"stored":   nil,
		"given up": failingWith(native.Error{Code: native.CodeDecode, RetryClass: native.RetryClassPermanent, Message: "no"}),
		"partial":  failingWith(native.Error{Code: native.CodeRejected, RetryClass: native.RetryClassPartial, Message: "one"}),
	} {
		for _, onDisk := range []bool{false, true} {
			noneLeft(t, 0)
			library := &fakeLibrary{answer: answer}
			disk := newMemoryStorage()
			cfg := quick(t, func(cfg *Config) {
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

func TestABatchThatIsDroppedIsFreedByTheCollectorOfGarbage(t *testing.T) {
	library := &fakeLibrary{answer: failingWith(native.Error{RetryClass: native.RetryClassRetry, Message: "not now"})}
	cfg := quick(t, func(cfg *Config) { cfg.QueueConfig.Get().Batch.Get().FlushTimeout = time.Hour })
	logs := startLogs(t, library, cfg, nopSettings(), componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	_ = logs.Shutdown(t.Context())
	require.NotEmpty(t, library.exports())
	noneLeft(t, 0)
}

func TestBytesGoToAQueueOnDiskAsTheyAreAndToOneInMemoryByTheLibrary(t *testing.T) {
	for _, onDisk := range []bool{false, true} {
		cfg := quick(t, func(cfg *Config) {
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

func TestWhatAnEarlierProcessNumberedIsRedelivered(t *testing.T) {
	numbers := newNumberer()
	own := []native.Part{{Writer: numbers.writer}, {Writer: numbers.writer, Sequence: 1}}
	assert.True(t, numbers.hasNumbered(own))
	assert.False(t, numbers.hasNumbered(append(own, native.Part{Writer: newNumberer().writer})))
}

func TestWhatCannotBeMergedIsAsItWas(t *testing.T) {
	numbers := newNumberer()
	logs, metrics := numbers.number(native.SignalLogs, []byte("one"), 1), numbers.number(native.SignalMetrics, []byte("two"), 1)
	require.NoError(t, metrics.hold())
	// As only a bug could have it.
	metrics.signal = native.SignalLogs
	_, err := logs.MergeSplit(t.Context(), 0, exporterhelper.RequestSizerTypeBytes, metrics)
	var failure *native.Error
	require.True(t, errors.As(err, &failure))
	assert.Equal(t, "one", payloadOf(t, logs))
	assert.Equal(t, "two", payloadOf(t, metrics))
	logs.free()
	metrics.free()
}
