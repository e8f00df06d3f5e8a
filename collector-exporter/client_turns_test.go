// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClientsWhoseTimeIsOverLeaveOneByOne(t *testing.T) {
	const clients = 20
	turns := newClientTurns(createDefaultConfig().(*Config))
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
	assert.Nil(t, newClientTurns(cfg))
	cfg.QueueConfig.Get().BlockOnOverflow = true
	cfg.QueueConfig.Get().WaitForResult = true
	assert.Nil(t, newClientTurns(cfg))

	var none *clientTurns
	ctx := t.Context()
	require.NoError(t, none.consume(ctx, func(given context.Context) error {
		assert.Equal(t, ctx, given)
		return nil
	}))
}
