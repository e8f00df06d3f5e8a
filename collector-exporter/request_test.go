// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

func merge(t *testing.T, first, second *request) *request {
	t.Helper()
	var other xexporterhelper.Request
	if second != nil {
		other = second
	}
	merged, err := first.MergeSplit(t.Context(), 0, exporterhelper.RequestSizerTypeBytes, other)
	require.NoError(t, err)
	require.Len(t, merged, 1)
	return merged[0].(*request)
}

func TestMergingConcatenatesBytesAndKeepsIDs(t *testing.T) {
	ids := newRequestIDs()
	first := ids.newRequest(native.SignalLogs, []byte("one"), 1)
	second := ids.newRequest(native.SignalLogs, []byte("three"), 3)
	third := ids.newRequest(native.SignalLogs, []byte("2"), 2)
	second.received = first.received.Add(-time.Minute)
	oldest := second.received

	merged := merge(t, merge(t, merge(t, first, nil), second), third)

	assert.Equal(t, "onethree2", payloadOf(t, merged))
	assert.Nil(t, second.batch, "the merged request has its bytes")
	assert.Equal(t, 6, merged.ItemsCount())
	assert.Equal(t, 9, merged.BytesSize())
	assert.Equal(t, oldest, merged.received)
	assert.Equal(t, []native.Part{
		{Writer: ids.writer, Sequence: 1, Len: 3},
		{Writer: ids.writer, Sequence: 2, Len: 5},
		{Writer: ids.writer, Sequence: 3, Len: 1},
	}, merged.parts())
}

func TestMergedMessagesAreOneMessage(t *testing.T) {
	ids := newRequestIDs()
	number := func(body string) *request {
		message, err := (&plog.ProtoMarshaler{}).MarshalLogs(logsOf(body))
		require.NoError(t, err)
		return ids.newRequest(native.SignalLogs, message, 1)
	}

	merged := merge(t, number("first"), number("second"))

	logs, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs([]byte(payloadOf(t, merged)))
	require.NoError(t, err)
	require.Equal(t, 2, logs.ResourceLogs().Len())
	for i, body := range []string{"first", "second"} {
		record := logs.ResourceLogs().At(i).ScopeLogs().At(0).LogRecords().At(0)
		assert.Equal(t, body, record.Body().Str())
	}
}

func TestSignalsDoNotMerge(t *testing.T) {
	ids := newRequestIDs()
	logs := ids.newRequest(native.SignalLogs, []byte("one"), 1)
	_, err := logs.MergeSplit(context.Background(), 0, exporterhelper.RequestSizerTypeBytes,
		ids.newRequest(native.SignalTraces, []byte("two"), 1))
	assert.EqualError(t, err, "cannot merge traces into logs")
	assert.Equal(t, 3, logs.BytesSize(), "it is unchanged")
}

func TestEachStartHasItsOwnWriter(t *testing.T) {
	first, second := newRequestIDs(), newRequestIDs()
	assert.NotEqual(t, first.writer, second.writer)
	assert.NotZero(t, first.writer)
}

func logsOf(bodies ...string) plog.Logs {
	logs := plog.NewLogs()
	records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, body := range bodies {
		record := records.AppendEmpty()
		record.SetTimestamp(1_700_000_000_000_000_000)
		record.Body().SetStr(body)
	}
	return logs
}
