// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/plog"
)

func TestMergedContextEndsWithItsLastClient(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}} {
		var contexts []context.Context
		var ends []context.CancelFunc
		for range 3 {
			ctx, end := context.WithCancel(context.Background())
			contexts, ends = append(contexts, ctx), append(ends, end)
		}
		merged := mergeContexts(mergeContexts(contexts[0], contexts[1]), contexts[2])
		ends[order[0]]()
		ends[order[1]]()
		require.NoError(t, merged.Err(), "one still waits")
		ends[order[2]]()
		<-merged.Done()
		require.ErrorIs(t, merged.Err(), context.Canceled)
	}
}

func TestMergedContextHasTheLatestDeadline(t *testing.T) {
	noon := time.Date(2100, 1, 1, 12, 0, 0, 0, time.UTC)
	early, end := context.WithDeadline(t.Context(), noon)
	defer end()
	late, end := context.WithDeadline(t.Context(), noon.Add(time.Hour))
	defer end()
	for _, pair := range [][2]context.Context{{early, late}, {late, early}} {
		deadline, bounded := mergeContexts(pair[0], pair[1]).Deadline()
		assert.True(t, bounded)
		assert.Equal(t, noon.Add(time.Hour), deadline)
	}
	_, bounded := mergeContexts(early, t.Context()).Deadline()
	assert.False(t, bounded, "one of them has no deadline")

	over, end := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer end()
	merged := mergeContexts(over, over)
	<-merged.Done()
	assert.ErrorIs(t, merged.Err(), context.DeadlineExceeded)
}

// endlessContext is the context of a client that never ends, such as a receiver in this Collector. It counts its
// callbacks.
type endlessContext struct {
	context.Context
	done      chan struct{}
	callbacks atomic.Int64
}

func (e *endlessContext) Done() <-chan struct{} { return e.done }

// AfterFunc is the method that context.AfterFunc uses if a context has it.
func (e *endlessContext) AfterFunc(func()) func() bool {
	e.callbacks.Add(1)
	return sync.OnceValue(func() bool { e.callbacks.Add(-1); return true })
}

func TestMergedContextLeavesNothingWithEndlessClients(t *testing.T) {
	client := &endlessContext{Context: context.Background(), done: make(chan struct{})}
	for range 100 {
		merged := mergeContexts(client, t.Context())
		for range 10 {
			merged = mergeContexts(context.WithValue(merged, struct{}{}, 1), client)
		}
		attempt, end := context.WithTimeout(merged, time.Hour)
		require.NoError(t, attempt.Err())
		end()
	}
	assert.NotZero(t, client.callbacks.Load())
	none := func() bool { runtime.GC(); return client.callbacks.Load() == 0 }
	require.Eventually(t, none, time.Minute, time.Millisecond)
}

func TestClientMergedDuringAnAttemptIsWaitedFor(t *testing.T) {
	first, endFirst := context.WithCancel(context.Background())
	second, endSecond := context.WithCancel(context.Background())
	third, endThird := context.WithCancel(context.Background())
	tried := mergeContexts(first, second)
	require.NoError(t, tried.Err())
	merged := mergeContexts(tried, third)
	endFirst()
	endSecond()
	<-tried.Done()
	require.NoError(t, merged.Err())
	endThird()
	<-merged.Done()
	require.ErrorIs(t, merged.Err(), context.Canceled)
}

func TestBatchIsDroppedOnceAllItsClientsGiveUp(t *testing.T) {
	library := &fakeLibrary{answer: failingWith(temporaryFailure)}
	set, seen := observedSettings()
	cfg := fastConfig(t, func(cfg *Config) {
		waitForResult(cfg)
		// Two requests make a batch, one does not.
		one, err := (&plog.ProtoMarshaler{}).MarshalLogs(logsOf("one"))
		require.NoError(t, err)
		cfg.QueueConfig.Get().Batch.Get().FlushTimeout = time.Hour
		cfg.QueueConfig.Get().Batch.Get().MinSize = int64(len(one)) + 1
	})
	logs := startLogs(t, library, cfg, set, componenttest.NewNopHost())
	answers := make(chan error, 2)
	var ends []context.CancelFunc
	for range 2 {
		ctx, end := context.WithCancel(t.Context())
		ends = append(ends, end)
		go func() { answers <- logs.ConsumeLogs(ctx, logsOf("one")) }()
	}
	tried := func(n int) func() bool { return func() bool { return len(library.exports()) > n } }
	require.Eventually(t, tried(0), time.Minute, time.Millisecond)
	require.Len(t, library.exports()[0].parts, 2)
	ends[0]()
	require.ErrorIs(t, <-answers, context.Canceled)
	triedAgain := tried(len(library.exports()) + 2)
	require.Eventually(t, triedAgain, time.Minute, time.Millisecond, "the other client still waits")
	ends[1]()
	// Of its own end, or of that of the batch, whichever is there first.
	last := <-answers
	require.True(t, errors.Is(last, context.Canceled) || strings.Contains(last.Error(), "request is cancelled or timed out"), last)
	givenUp := func() bool { return seen.FilterMessageSnippet("Dropping data").Len() == 1 }
	require.Eventually(t, givenUp, time.Minute, time.Millisecond)
	count := len(library.exports())
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.Len(t, library.exports(), count)
}
