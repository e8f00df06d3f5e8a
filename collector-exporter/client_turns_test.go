// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

func TestClientsWhoseTimeIsOverLeaveOneByOne(t *testing.T) {
	const clients = 20
	turns := newClientTurns(createDefaultConfig().(*Config), nil)
	require.NotNil(t, turns)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var waiting, leaving atomic.Int64
	leave := make(chan struct{})
	errs := make(chan error, clients)
	for range clients {
		go func() {
			errs <- turns.consume(ctx, func(ctx context.Context) error {
				waiting.Add(1)
				<-ctx.Done()
				leaving.Add(1)
				<-leave
				leaving.Add(-1)
				return ctx.Err()
			})
		}()
	}
	require.Eventually(t, func() bool { return waiting.Load() == clients }, time.Minute, time.Millisecond)
	cancel()
	for range clients {
		require.Eventually(t, func() bool { return leaving.Load() > 0 }, time.Minute, time.Millisecond)
		// Others would leave now.
		for range 100 {
			runtime.Gosched()
		}
		require.EqualValues(t, 1, leaving.Load())
		leave <- struct{}{}
		require.ErrorIs(t, <-errs, context.Canceled)
	}
}

func TestClientKeepsItsValuesAndErrors(t *testing.T) {
	type key struct{}
	turns := &clientTurns{}
	client, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "value"), time.Millisecond)
	defer cancel()
	err := turns.consume(client, func(ctx context.Context) error {
		assert.Equal(t, "value", ctx.Value(key{}))
		want, _ := client.Deadline()
		deadline, bounded := ctx.Deadline()
		assert.True(t, bounded)
		assert.Equal(t, want, deadline)
		<-ctx.Done()
		return ctx.Err()
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)

	failure := errors.New("full")
	var kept context.Context
	err = turns.consume(t.Context(), func(ctx context.Context) error {
		require.NoError(t, ctx.Err())
		kept = ctx
		return failure
	})
	require.ErrorIs(t, err, failure)
	require.ErrorIs(t, kept.Err(), context.Canceled, "nothing is left of a call that has returned")
}

func TestClientsTakeTurnsOnlyWhereTheyWaitForRoom(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.QueueConfig.Get().BlockOnOverflow = false
	assert.Nil(t, newClientTurns(cfg, nil))
	cfg.QueueConfig.Get().BlockOnOverflow = true
	for _, waits := range []bool{false, true} {
		cfg.QueueConfig.Get().WaitForResult = waits
		assert.NotNil(t, newClientTurns(cfg, nil), "wait_for_result: %t", waits)
	}
	withoutQueue(cfg)
	assert.Nil(t, newClientTurns(cfg, nil))

	var none *clientTurns
	ctx := t.Context()
	require.NoError(t, none.consume(ctx, func(given context.Context) error {
		assert.Equal(t, ctx, given)
		return nil
	}))
}

func TestQueueDoesNotHangWhenClientsGiveUpWhileTheirBatchEnds(t *testing.T) {
	const queued, waiting = 4, 4
	one, err := (&plog.ProtoMarshaler{}).MarshalLogs(logsOf("one"))
	require.NoError(t, err)
	for _, waits := range []bool{false, true} {
		t.Run(fmt.Sprintf("wait_for_result: %t", waits), func(t *testing.T) {
			// With one thread, clients whose time is over do not get to leave before the batch has ended.
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			clients, giveUp := context.WithCancel(t.Context())
			defer giveUp()
			allWait := make(chan struct{})
			library := &fakeLibrary{answer: func(exportCall) (native.Outcome, error) {
				<-allWait
				giveUp()
				return native.Outcome{Rows: 1}, nil
			}}
			cfg := fastConfig(t, func(cfg *Config) {
				queue := cfg.QueueConfig.Get()
				queue.WaitForResult = waits
				queue.Sizer, queue.QueueSize = exporterhelper.RequestSizerTypeRequests, queued
				// The requests that fill the queue are one batch.
				queue.Batch.Get().FlushTimeout = time.Hour
				queue.Batch.Get().MinSize = int64(queued * len(one))
			})
			logs := startLogs(t, library, cfg, nopSettings(), componenttest.NewNopHost())
			answers := make(chan error, queued+waiting)
			for range cap(answers) {
				go func() { answers <- logs.ConsumeLogs(clients, logsOf("one")) }()
			}
			waitForRoom := func() bool { return goroutinesIn("queue.(*cond).Wait(") == waiting }
			require.Eventually(t, waitForRoom, time.Minute, time.Millisecond)
			close(allWait)
			returned := func() bool { return len(answers) == cap(answers) }
			require.Eventually(t, returned, time.Minute, time.Millisecond, "the queue hangs")
			for range cap(answers) {
				if err := <-answers; err != nil {
					require.ErrorIs(t, err, context.Canceled)
				}
			}
			require.NoError(t, logs.Shutdown(context.WithoutCancel(t.Context())))
		})
	}
}

// goroutinesIn returns the number of goroutines whose stack has a call of this function.
func goroutinesIn(function string) int {
	stacks := make([]byte, 1<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte(function))
}

func TestAttemptEndsWithItsClientsAlthoughTheirTurnHasNotCome(t *testing.T) {
	one, err := (&plog.ProtoMarshaler{}).MarshalLogs(logsOf("one"))
	require.NoError(t, err)
	for _, clients := range []int{1, 2} {
		t.Run(fmt.Sprintf("clients: %d", clients), func(t *testing.T) {
			library := &fakeLibrary{hangs: true}
			set, seen := observedSettings()
			cfg := fastConfig(t, func(cfg *Config) {
				waitForResult(cfg)
				cfg.RetryConfig.Enabled = false
				cfg.QueueConfig.Get().Batch.Get().FlushTimeout = time.Hour
				cfg.QueueConfig.Get().Batch.Get().MinSize = int64((clients-1)*len(one) + 1)
			})
			logs := startLogs(t, library, cfg, set, componenttest.NewNopHost())
			// Another client leaves, and takes its time.
			turns := logs.(*logsExporter).turns
			turns.leaving.Lock()
			ctx, giveUp := context.WithCancel(t.Context())
			defer giveUp()
			answers := make(chan error, clients)
			for range clients {
				go func() { answers <- logs.ConsumeLogs(ctx, logsOf("one")) }()
			}
			tried := func() bool { return len(library.exports()) == 1 }
			require.Eventually(t, tried, time.Minute, time.Millisecond)
			require.Len(t, library.exports()[0].parts, clients)
			giveUp()
			givenUp := func() bool { return seen.FilterMessageSnippet("Dropping data").Len() == 1 }
			require.Eventually(t, givenUp, time.Minute, time.Millisecond)
			turns.leaving.Unlock()
			for range clients {
				require.Error(t, <-answers)
			}
			require.NoError(t, logs.Shutdown(context.WithoutCancel(t.Context())))
		})
	}
}

// The values of a context outlive it in a queue that answers before the result.
func TestQueuedContextDoesNotEndWithItsClient(t *testing.T) {
	turns := &clientTurns{}
	client, leave := context.WithCancel(t.Context())
	var waiting, queued context.Context
	require.NoError(t, turns.consume(client, func(ctx context.Context) error {
		waiting, queued = ctx, context.WithoutCancel(ctx)
		return nil
	}))
	leave()
	require.ErrorIs(t, clientOf(waiting).Err(), context.Canceled)
	require.NoError(t, clientOf(queued).Err())
	require.NoError(t, clientOf(t.Context()).Err())
}
