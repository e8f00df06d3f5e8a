// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"go.opentelemetry.io/collector/consumer/consumererror"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

func TestWhoEndedAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, leave := context.WithCancel(t.Context())
		leave()
		short, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		long, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		for _, test := range []struct {
			client context.Context
			sooner ending
			later  ending
		}{
			{context.Background(), endedByItself, endedByTimeout},
			{left, endedByClient, endedByClient},
			{short, endedByItself, endedByClient},
			{long, endedByItself, endedByTimeout},
		} {
			ctx, cancel := beginAttempt(test.client, time.Minute)
			defer cancel()
			assert.Equal(t, test.sooner, ctx.ending())
			defer func() { assert.Equal(t, test.later, ctx.ending()) }()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
	})
}

// lateContext has a deadline that passed, of which nobody was told yet.
type lateContext struct {
	context.Context
	deadline time.Time
}

func (c lateContext) Deadline() (time.Time, bool) { return c.deadline, true }

func TestADeadlineThatTheLibrarySawFirstHasPassed(t *testing.T) {
	passed := lateContext{Context: t.Context(), deadline: time.Unix(1_700_000_000, 0)}
	assert.Equal(t, endedByTimeout, attemptContext{Context: passed, timeout: passed.deadline}.ending())
	assert.Equal(t, endedByClient, attemptContext{Context: passed, timeout: passed.deadline.Add(time.Second)}.ending())
	passed.deadline = time.Now().Add(time.Hour)
	assert.Equal(t, endedByItself, attemptContext{Context: passed, timeout: passed.deadline}.ending())
}

func TestWhoseTimeRanOutIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cancelled := &native.Error{Code: native.CodeCancelled, RetryClass: native.RetryClassRetry, Message: "cancelled"}
		e := &signalExporter{cfg: quick(t, nil), logger: zap.NewNop()}
		e.cfg.TimeoutConfig.Timeout = 90 * time.Second
		r := &request{received: time.Now()}
		began, cancel := beginAttempt(t.Context(), e.cfg.TimeoutConfig.Timeout)
		defer cancel()
		client, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		clients, cancel := beginAttempt(client, e.cfg.TimeoutConfig.Timeout)
		defer cancel()

		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.EqualError(t, e.sayWhoEndedIt(clients, r, cancelled), "the client's time ran out (after 10s, before the timeout of 1m30s): cancelled")
		time.Sleep(80 * time.Second)
		synctest.Wait()
		err := e.sayWhoEndedIt(began, r, cancelled)
		require.EqualError(t, err, "not stored within timeout (1m30s): cancelled")
		assert.False(t, consumererror.IsPermanent(e.classify(native.Outcome{}, err)), "it is tried again")
		assert.Equal(t, "cancelled", cancelled.Message, "the library's error is left as it is")

		stopped, stop := context.WithCancel(t.Context())
		stop()
		left, cancel := beginAttempt(stopped, e.cfg.TimeoutConfig.Timeout)
		defer cancel()
		assert.EqualError(t, e.sayWhoEndedIt(left, r, cancelled), "cancelled", "nobody's time ran out")
		other := &native.Error{Code: native.CodeInternal, Message: "other"}
		assert.EqualError(t, e.sayWhoEndedIt(began, r, other), "other")
		assert.NoError(t, e.sayWhoEndedIt(began, r, nil))
	})
}
