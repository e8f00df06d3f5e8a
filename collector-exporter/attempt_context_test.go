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

func TestAttemptCancelSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, leave := context.WithCancel(t.Context())
		leave()
		short, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		long, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		for _, test := range []struct {
			client context.Context
			before cancelSource
			after  cancelSource
		}{
			{context.Background(), notCancelled, cancelledByTimeout},
			{left, cancelledByClient, cancelledByClient},
			{short, notCancelled, cancelledByClient},
			{long, notCancelled, cancelledByTimeout},
		} {
			ctx, cancel := beginAttempt(test.client, time.Minute)
			defer cancel()
			assert.Equal(t, test.before, ctx.cancelSource())
			defer func() { assert.Equal(t, test.after, ctx.cancelSource()) }()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
	})
}

// lateContext has a deadline that has passed although its timer has not fired yet.
type lateContext struct {
	context.Context
	deadline time.Time
}

func (c lateContext) Deadline() (time.Time, bool) { return c.deadline, true }

func TestDeadlineThatPassedBeforeItsTimerFires(t *testing.T) {
	late := lateContext{Context: t.Context(), deadline: time.Unix(1_700_000_000, 0)}
	assert.Equal(t, cancelledByTimeout, attemptContext{Context: late, timeout: late.deadline}.cancelSource())
	later := late.deadline.Add(time.Second)
	assert.Equal(t, cancelledByClient, attemptContext{Context: late, timeout: later}.cancelSource())
	late.deadline = time.Now().Add(time.Hour)
	assert.Equal(t, notCancelled, attemptContext{Context: late, timeout: late.deadline}.cancelSource())
}

func TestCancellationErrorNamesTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cancelled := &native.Error{Code: native.CodeCancelled, RetryClass: native.RetryClassRetry, Message: "cancelled"}
		e := &signalExporter{cfg: fastConfig(t, nil), logger: zap.NewNop()}
		e.cfg.TimeoutConfig.Timeout = 90 * time.Second
		r := &request{received: time.Now()}
		byTimeout, cancel := beginAttempt(t.Context(), e.cfg.TimeoutConfig.Timeout)
		defer cancel()
		client, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		byClient, cancel := beginAttempt(client, e.cfg.TimeoutConfig.Timeout)
		defer cancel()

		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.EqualError(t, e.describeCancellation(byClient, r, cancelled),
			"the client's time ran out (after 10s, before the timeout of 1m30s): cancelled")
		time.Sleep(80 * time.Second)
		synctest.Wait()
		err := e.describeCancellation(byTimeout, r, cancelled)
		require.EqualError(t, err, "not stored within timeout (1m30s): cancelled")
		assert.False(t, consumererror.IsPermanent(e.classify(native.Outcome{}, err)), "it is retried")
		assert.Equal(t, "cancelled", cancelled.Message, "the library's error is unchanged")

		stopped, stop := context.WithCancel(t.Context())
		stop()
		left, cancel := beginAttempt(stopped, e.cfg.TimeoutConfig.Timeout)
		defer cancel()
		assert.EqualError(t, e.describeCancellation(left, r, cancelled), "cancelled", "the client went away")
		other := &native.Error{Code: native.CodeInternal, Message: "other"}
		assert.EqualError(t, e.describeCancellation(byTimeout, r, other), "other")
		assert.NoError(t, e.describeCancellation(byTimeout, r, nil))
	})
}
