// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// storedWriter is the writer id in testdata/queue_v1.hex.
var storedWriter = [16]byte{0: 0xA0, 15: 0xAF}

// encodingFor returns the encoding of a process with a writer id of its own.
func encodingFor(signal native.Signal) *queueEncoding {
	return &queueEncoding{signal: signal, ids: newRequestIDs(), logger: zap.NewNop()}
}

// storedRequest is the request that testdata/queue_v1.hex holds.
func storedRequest(t testing.TB) *request {
	batch, err := native.NewBatch(native.SignalTraces, []byte("firstsecond!"), []native.Part{
		{Writer: storedWriter, Sequence: 7, Len: 5},
		{Writer: storedWriter, Sequence: 0x0102030405060708, Len: 7},
	})
	require.NoError(t, err)
	return &request{
		signal:   native.SignalTraces,
		batch:    batch,
		items:    300,
		bytes:    12,
		received: time.Unix(1_700_000_000, 123_456_789),
	}
}

// goldenLayout reads the golden file: hex in any grouping, with comments after #.
func goldenLayout(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "queue_v1.hex"))
	require.NoError(t, err)
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	data, err := hex.DecodeString(digits.String())
	require.NoError(t, err)
	return data
}

func TestQueueLayoutMatchesGoldenFile(t *testing.T) {
	encoding := encodingFor(native.SignalTraces)
	data, err := encoding.Marshal(t.Context(), storedRequest(t))
	require.NoError(t, err)
	assert.Equal(t, hex.Dump(goldenLayout(t)), hex.Dump(data))
}

func TestQueuedRequestIsReadBack(t *testing.T) {
	encoding := encodingFor(native.SignalTraces)
	_, req, err := encoding.Unmarshal(goldenLayout(t))
	require.NoError(t, err)
	read, want := req.(*request), storedRequest(t)
	assert.Equal(t, want.parts(), read.parts())
	assert.Equal(t, want.items, read.ItemsCount())
	assert.Equal(t, want.bytes, read.BytesSize())
	assert.Equal(t, "firstsecond!", payloadOf(t, read))
	assert.True(t, want.received.Equal(read.received))
}

func TestRequestReadAndRequeuedStaysOutOfTheLibrary(t *testing.T) {
	requireLiveBatches(t, 0)
	encoding := encodingFor(native.SignalLogs)
	stored, err := encoding.Marshal(t.Context(), newRequestIDs().newRequest(native.SignalLogs, []byte("one"), 1))
	require.NoError(t, err)
	_, req, err := encoding.Unmarshal(stored)
	require.NoError(t, err)
	again, err := encoding.Marshal(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, hex.Dump(stored), hex.Dump(again))
	assert.Zero(t, native.LiveBatches())
}

// A part of the requests of another process may already be in a table, so their bytes are held until the batch is
// freed. Whether AppendPayload succeeds after the export shows that.
func TestRedeliveredBytesAreHeldAfterTheExport(t *testing.T) {
	library, err := native.Open(fmt.Appendf(nil, `{"catalog": {"warehouse": %q}}`, t.TempDir()))
	require.NoError(t, err)
	defer func() { require.NoError(t, library.Close(time.Minute)) }()
	encoding := encodingFor(native.SignalLogs)
	message, err := (&plog.ProtoMarshaler{}).MarshalLogs(logsOf("one"))
	require.NoError(t, err)
	for _, ids := range []*requestIDs{encoding.ids, newRequestIDs()} {
		stored, err := encoding.Marshal(t.Context(), ids.newRequest(native.SignalLogs, message, 1))
		require.NoError(t, err)
		_, req, err := encoding.Unmarshal(stored)
		require.NoError(t, err)
		r := req.(*request)
		require.NoError(t, r.ensureBatch())
		outcome, err := library.Export(t.Context(), r.batch, r.received)
		require.NoError(t, err)
		assert.Equal(t, uint64(1), outcome.Rows)
		_, err = r.batch.AppendPayload(nil)
		assert.Equal(t, ids == encoding.ids, err != nil, "freed by the export")
		r.free()
	}
}

func TestEmptyRequestIsReadBack(t *testing.T) {
	encoding := encodingFor(native.SignalLogs)
	data, err := encoding.Marshal(t.Context(), newRequestIDs().newRequest(native.SignalLogs, nil, 0))
	require.NoError(t, err)
	_, req, err := encoding.Unmarshal(data)
	require.NoError(t, err)
	assert.Zero(t, req.BytesSize())
	assert.Len(t, req.(*request).parts(), 1)
}

func TestUnreadableRequestIsAnErrorWithReason(t *testing.T) {
	change := func(offset int, value byte) func([]byte) []byte {
		return func(data []byte) []byte {
			data[offset] = value
			return data
		}
	}
	// sealed corrects the checksum after a change, so that decoding goes past it.
	sealed := func(change func([]byte) []byte) func([]byte) []byte {
		return func(data []byte) []byte {
			body := change(data)[:len(data)-encodingTrailerLen]
			return binary.LittleEndian.AppendUint32(body, crc32.Checksum(body, castagnoli))
		}
	}
	for name, test := range map[string]struct {
		damage func([]byte) []byte
		reason string
	}{
		"a few bytes":     {func(data []byte) []byte { return data[:8] }, "8 bytes are too few"},
		"another format":  {change(0, 'X'), "does not begin with O2IQ"},
		"a later version": {sealed(change(4, 2)), "layout version 2, this exporter reads version 1"},
		"a flipped bit":   {change(100, 0xFF), "checksum"},
		"cut short":       {func(data []byte) []byte { return data[:len(data)-1] }, "checksum"},
		"another signal":  {sealed(change(5, 1)), "it holds logs, and this is the queue for traces"},
		"too many parts":  {sealed(change(31, 0x7F)), "parts in 112 bytes"},
		"too many items":  {sealed(change(15, 0xFF)), "items in 2 parts"},
		"a part too long": {sealed(change(56, 6)), "do not add up to its 12 bytes"},
		"lengths past 64 bits": {
			sealed(func(data []byte) []byte {
				for offset := 56; offset < 64; offset++ {
					data[offset] = 0xFF
				}
				return data
			}), "do not add up",
		},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.ErrorLevel)
			encoding := &queueEncoding{signal: native.SignalTraces, ids: newRequestIDs(), logger: zap.New(core)}
			_, req, err := encoding.Unmarshal(test.damage(goldenLayout(t)))
			require.ErrorContains(t, err, test.reason)
			assert.Nil(t, req)
			require.Equal(t, 1, logs.Len(), "the queue logs it only at debug level")
			assert.Contains(t, logs.All()[0].Message, "It is lost.")
		})
	}
}

func TestPlaceWithoutARequestIsNoLoss(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	encoding := &queueEncoding{signal: native.SignalLogs, ids: newRequestIDs(), logger: zap.New(core)}
	for _, data := range [][]byte{nil, {}} {
		_, req, err := encoding.Unmarshal(data)
		require.ErrorIs(t, err, errNotStored)
		assert.Nil(t, req)
	}
	require.Equal(t, 1, logs.Len(), "once for all places")
	assert.Equal(t, zap.WarnLevel, logs.All()[0].Level)
	assert.NotContains(t, logs.All()[0].Message, "lost")
}

func TestRequestThatAFullDiskRefusesIsNotReportedAsLost(t *testing.T) {
	disk, library := &killedStorage{memoryStorage: newMemoryStorage()}, &fakeLibrary{}
	setFailure := func(failure error) {
		disk.mu.Lock()
		defer disk.mu.Unlock()
		disk.fail = func([]*storage.Operation) error { return failure }
	}
	set, seen := observedSettings()
	logs := startLogs(t, library, queueOnDisk(t), set, hostWithKilled(disk))
	full := errors.New("no space left on device")
	setFailure(full)
	require.ErrorIs(t, logs.ConsumeLogs(t.Context(), logsOf("refused")), full)
	setFailure(nil)
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("stored")))
	stored := func() bool { return len(exportedParts(library)) == 1 }
	require.Eventually(t, stored, time.Minute, time.Millisecond)
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.Equal(t, 1, seen.FilterMessageSnippet("hold no request and are skipped").Len())
	assert.Zero(t, seen.FilterMessageSnippet("It is lost.").Len())
}

func TestEveryTruncationIsAnError(t *testing.T) {
	data := goldenLayout(t)
	for length := range data {
		_, err := decodeRequest(data[:length])
		require.Error(t, err, "%d bytes", length)
	}
}

func FuzzDecodeRequest(f *testing.F) {
	encoding := encodingFor(native.SignalTraces)
	seed, err := encoding.Marshal(f.Context(), storedRequest(f))
	require.NoError(f, err)
	f.Add(seed[:len(seed)-encodingTrailerLen])
	f.Add([]byte(encodingMagic))
	f.Fuzz(func(t *testing.T, body []byte) {
		// Without a correct checksum, decoding would never go past it.
		data := binary.LittleEndian.AppendUint32(body, crc32.Checksum(body, castagnoli))
		r, err := decodeRequest(data)
		if err != nil {
			return
		}
		total, fits := totalLen(r.parts())
		require.True(t, fits)
		require.Equal(t, total, uint64(len(payloadOf(t, r))))
		require.Equal(t, r.bytes, len(payloadOf(t, r)))
		r.free()
	})
}
