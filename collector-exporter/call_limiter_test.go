// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

func TestDirectCallsAreLimited(t *testing.T) {
	unblock := make(chan struct{})
	library := &fakeLibrary{answer: func(exportCall) (native.Outcome, error) {
		<-unblock
		return native.Outcome{Rows: 1}, nil
	}}
	cfg := fastConfig(t, func(cfg *Config) { cfg.QueueConfig = configoptional.None[exporterhelper.QueueBatchConfig]() })
	logs := startLogs(t, library, cfg, nopSettings(), componenttest.NewNopHost())
	answers := make(chan error, directCallsMax+1)
	store := func() { answers <- logs.ConsumeLogs(t.Context(), logsOf("one")) }
	for range directCallsMax {
		go store()
	}
	allInCalls := func() bool { return len(library.exports()) == directCallsMax }
	require.Eventually(t, allInCalls, time.Minute, time.Millisecond)

	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorContains(t, logs.ConsumeLogs(ended, logsOf("one")), "1000 requests were being stored already")
	go store()
	assert.Len(t, library.exports(), directCallsMax, "it waits")
	close(unblock)
	for range directCallsMax + 1 {
		require.NoError(t, <-answers)
	}
	assert.Len(t, library.exports(), directCallsMax+1)
	require.NoError(t, logs.Shutdown(t.Context()))
}

// The error must not blame other requests for a client whose time was over while a slot was free.
func TestFreeSlotIsAcquiredAfterContextEnd(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	limiter := make(callLimiter, 1)
	for range 100 {
		require.NoError(t, limiter.acquire(ended))
		limiter.release()
	}
}

func TestNoCallLimitWithAQueue(t *testing.T) {
	assert.Nil(t, newCallLimiter(fastConfig(t, nil)))
}
