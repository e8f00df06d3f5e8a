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

func TestWithoutAQueueOnlySoManyCallsAreMadeAtATime(t *testing.T) {
	goOn := make(chan struct{})
	library := &fakeLibrary{answer: func(exported) (native.Outcome, error) {
		<-goOn
		return native.Outcome{Rows: 1}, nil
	}}
	cfg := quick(t, func(cfg *Config) { cfg.QueueConfig = configoptional.None[exporterhelper.QueueBatchConfig]() })
	logs := startLogs(t, library, cfg, nopSettings(), componenttest.NewNopHost())
	answers := make(chan error, directCallsMax+1)
	store := func() { answers <- logs.ConsumeLogs(t.Context(), logsOf("one")) }
	for range directCallsMax {
		go store()
	}
	require.Eventually(t, func() bool { return len(library.exports()) == directCallsMax }, time.Minute, time.Millisecond)

	over, end := context.WithCancel(t.Context())
	end()
	require.ErrorContains(t, logs.ConsumeLogs(over, logsOf("one")), "1000 requests were being stored already")
	go store()
	assert.Len(t, library.exports(), directCallsMax, "it waits")
	close(goOn)
	for range directCallsMax + 1 {
		require.NoError(t, <-answers)
	}
	assert.Len(t, library.exports(), directCallsMax+1)
	require.NoError(t, logs.Shutdown(t.Context()))
}

// What is said of a client whose time is over is not that others took the turns.
func TestATurnThatIsFreeIsTakenAlsoWhenTheTimeIsOver(t *testing.T) {
	over, end := context.WithCancel(t.Context())
	end()
	free := make(turns, 1)
	for range 100 {
		require.NoError(t, free.take(over))
		free.giveBack()
	}
}

func TestWithAQueueItsConsumersAreTheBound(t *testing.T) {
	assert.Nil(t, newTurns(quick(t, nil)))
}
