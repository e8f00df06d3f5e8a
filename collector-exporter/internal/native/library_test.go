// SPDX-License-Identifier: Apache-2.0

//go:build cgo && linux && (amd64 || arm64)

package native

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"go.opentelemetry.io/collector/pdata/plog"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestVerifyAcceptsTheLinkedLibrary(t *testing.T) {
	require.NoError(t, Verify())
	assert.Regexp(t, regexp.MustCompile(`^\d+\.\d+\.\d+`), Version())
}

func TestConfigProblemsComeWithTheirKeys(t *testing.T) {
	require.NoError(t, CheckConfig([]byte(`{}`)))

	err := CheckConfig([]byte(`{"parquet": {"compression_level": 40}, "catalog": {"name": ""}}`))
	failure := requireError(t, err)
	assert.Equal(t, CodeConfig, failure.Code)
	assert.Equal(t, RetryClassPermanent, failure.RetryClass)
	assert.Contains(t, failure.Message, "parquet.compression_level:")
	assert.Contains(t, failure.Message, "catalog.name:")
}

func TestInvalidJSONIsAConfigError(t *testing.T) {
	for _, config := range [][]byte{nil, {}, []byte("{"), {0xFF}, []byte(`"text"`)} {
		assert.Equal(t, CodeConfig, requireError(t, CheckConfig(config)).Code, "%q", config)
		handle, err := Open(config)
		assert.Equal(t, CodeConfig, requireError(t, err).Code, "%q", config)
		assert.Nil(t, handle)
	}
}

func TestExportStoresRowsAndRecognizesARepeat(t *testing.T) {
	handle := openTemporary(t)
	payload := logsPayload(t, "one", "two")
	parts := []Part{{Writer: [16]byte{1}, Sequence: 1, Len: uint64(len(payload))}}

	outcome, err := handle.Export(t.Context(), batchOf(t, payload, parts...), time.Time{})
	require.NoError(t, err)
	assert.Equal(t, uint64(2), outcome.Rows)
	assert.Equal(t, uint64(1), outcome.Files)
	assert.Equal(t, uint64(1), outcome.Commits)
	assert.NotZero(t, outcome.FileBytes)
	assert.Zero(t, outcome.Rejected)

	outcome, err = handle.Export(t.Context(), batchOf(t, payload, parts...), time.Time{})
	require.NoError(t, err)
	assert.Equal(t, uint64(1), outcome.AlreadyCommitted)
	assert.Zero(t, outcome.Files)
}

func TestExportErrorsAreClassified(t *testing.T) {
	handle := openTemporary(t)
	payload := logsPayload(t, "one")
	part := Part{Writer: [16]byte{2}, Sequence: 1, Len: uint64(len(payload))}

	t.Run("not OTLP", func(t *testing.T) {
		garbage := []byte{0xFF, 0xFF, 0xFF}
		_, err := handle.Export(t.Context(), batchOf(t, garbage, Part{Len: 3}), time.Time{})
		assert.Equal(t, RetryClassPermanent, requireError(t, err).RetryClass)
	})
	t.Run("parts that do not add up", func(t *testing.T) {
		_, err := NewBatch(SignalLogs, payload, nil)
		failure := requireError(t, err)
		assert.Equal(t, RetryClassPermanent, failure.RetryClass)
		assert.Contains(t, failure.Message, "add up to 0")
	})
	t.Run("no such signal", func(t *testing.T) {
		_, err := NewBatch(Signal(9), payload, []Part{part})
		assert.Contains(t, requireError(t, err).Message, "signal is 9")
	})
	t.Run("cancelled before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := handle.Export(ctx, batchOf(t, payload, part), time.Time{})
		failure := requireError(t, err)
		assert.Equal(t, CodeCancelled, failure.Code)
		assert.Equal(t, RetryClassRetry, failure.RetryClass)
	})
}

func TestExportsRaceWithCloseAndCancel(t *testing.T) {
	for name, cancels := range map[string]bool{"cancelled, then closed": true, "closed": false} {
		t.Run(name, func(t *testing.T) {
			handle := openTemporary(t)
			payload := logsPayload(t, "one")
			var running sync.WaitGroup
			defer running.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var stored atomic.Int64
			for worker := range 4 {
				running.Go(func() {
					// Some more calls after the first that fails: they meet a handle that is being closed, or is closed.
					for sequence, failures := uint64(0), 0; failures < 20; sequence++ {
						part := Part{Writer: [16]byte{3, byte(worker)}, Sequence: sequence, Len: uint64(len(payload))}
						_, err := handle.Export(ctx, batchOf(t, payload, part), time.Time{})
						if err == nil {
							stored.Add(1)
							continue
						}
						failures++
						var failure *Error
						if assert.ErrorAs(t, err, &failure) {
							assert.Contains(t, []Code{CodeCancelled, CodeShutdown}, failure.Code, failure.Message)
						}
					}
				})
			}
			require.Eventually(t, func() bool { return stored.Load() >= 4 }, time.Minute, time.Millisecond)
			if cancels {
				cancel()
			}
			require.NoError(t, handle.Close(30*time.Second))
			require.NoError(t, handle.Close(0), "a second Close does nothing")
			running.Wait()

			_, err := handle.Export(t.Context(), batchOf(t, payload, Part{Len: uint64(len(payload))}), time.Time{})
			assert.Equal(t, RetryClassShutdown, requireError(t, err).RetryClass)
		})
	}
}

func TestMillisecondsRoundUp(t *testing.T) {
	for d, want := range map[time.Duration]uint64{
		-time.Second: 0, 0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2,
		math.MaxInt64: math.MaxInt64/1_000_000 + 1,
	} {
		assert.Equal(t, want, uint64(milliseconds(d)), "%s", d)
	}
}

func requireError(t *testing.T, err error) *Error {
	t.Helper()
	var failure *Error
	require.True(t, errors.As(err, &failure), "%v is no *Error", err)
	require.NotEmpty(t, failure.Message)
	return failure
}

// batchOf returns a batch that is freed when the test ends.
func batchOf(t *testing.T, payload []byte, parts ...Part) *Batch {
	t.Helper()
	batch, err := NewBatch(SignalLogs, payload, parts)
	require.NoError(t, err)
	t.Cleanup(batch.Free)
	return batch
}

// openTemporary opens the library on an empty warehouse and closes it when the test ends.
func openTemporary(t *testing.T) *Handle {
	t.Helper()
	config, err := json.Marshal(map[string]any{
		"catalog": map[string]any{"warehouse": filepath.Join(t.TempDir(), "warehouse")},
	})
	require.NoError(t, err)
	handle, err := Open(config)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, handle.Close(10*time.Second)) })
	return handle
}

func logsPayload(t *testing.T, bodies ...string) []byte {
	t.Helper()
	logs := plog.NewLogs()
	records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, body := range bodies {
		record := records.AppendEmpty()
		record.SetTimestamp(1_700_000_000_000_000_000)
		record.Body().SetStr(body)
	}
	payload, err := (&plog.ProtoMarshaler{}).MarshalLogs(logs)
	require.NoError(t, err)
	return payload
}
