// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// attemptContext is a client's context, bounded by the configured timeout of one attempt. exporterhelper could bound
// it, too, but its deadline could not be distinguished from the client's own, and only a timeout of ours says
// something about the destination.
type attemptContext struct {
	context.Context
	// timeout is when the configured timeout ends.
	timeout time.Time
}

// errTimeout is the cause of an attemptContext that the configured timeout ended.
var errTimeout = errors.New("timeout")

// beginAttempt bounds a client's context. Where clients do not wait, that is the context of a queue.
func beginAttempt(client context.Context, timeout time.Duration) (attemptContext, context.CancelFunc) {
	deadline := time.Now().Add(timeout)
	ctx, cancel := context.WithDeadlineCause(client, deadline, errTimeout)
	return attemptContext{Context: ctx, timeout: deadline}, cancel
}

// cancelSource says what cancelled an attempt.
type cancelSource int

const (
	// notCancelled is the source for an attempt that ended by itself.
	notCancelled cancelSource = iota
	// cancelledByTimeout means that the configured timeout passed.
	cancelledByTimeout
	// cancelledByClient means that the client went away, or that its own deadline passed.
	cancelledByClient
)

// cancelSource returns what cancelled the attempt. It must be called before the attempt's own cancel function.
func (a attemptContext) cancelSource() cancelSource {
	switch cause := context.Cause(a); {
	case errors.Is(cause, errTimeout):
		return cancelledByTimeout
	case cause != nil:
		return cancelledByClient
	}
	// The library has a clock of its own, which may be ahead of Go's timers.
	deadline, bounded := a.Deadline()
	switch {
	case !bounded || time.Now().Before(deadline):
		return notCancelled
	case deadline.Before(a.timeout):
		return cancelledByClient
	default:
		return cancelledByTimeout
	}
}

// describeCancellation adds to the library's error whether the configured timeout or the client ended the attempt. The
// library knows only that it was cancelled, and for what it was waiting.
func (e *signalExporter) describeCancellation(ctx attemptContext, r *request, err error) error {
	var failure *native.Error
	if !errors.As(err, &failure) || failure.Code != native.CodeCancelled {
		return err
	}
	described := *failure
	timeout := e.cfg.TimeoutConfig.Timeout
	switch source := ctx.cancelSource(); {
	case source == cancelledByTimeout:
		described.Message = fmt.Sprintf("not stored within timeout (%s): %s", timeout, failure.Message)
	case source == cancelledByClient && !errors.Is(ctx.Err(), context.Canceled):
		described.Message = fmt.Sprintf("the client's time ran out (after %s, before the timeout of %s): %s",
			time.Since(r.received).Round(time.Millisecond), timeout, failure.Message)
	}
	return &described
}
