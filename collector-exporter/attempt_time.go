// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// attemptContext is a client's context, bounded by the configured timeout of one attempt. exporterhelper would bound it, too,
// but then nothing could tell that deadline from the client's own, and only the first says something about the destination.
type attemptContext struct {
	context.Context
	// timeout is when the configured timeout is over.
	timeout time.Time
}

// errTimeout is why an attemptContext ends that the configured timeout ended.
var errTimeout = errors.New("timeout")

// beginAttempt bounds a client's context, which is that of a queue where clients do not wait.
func beginAttempt(client context.Context, timeout time.Duration) (attemptContext, context.CancelFunc) {
	over := time.Now().Add(timeout)
	ctx, cancel := context.WithDeadlineCause(client, over, errTimeout)
	return attemptContext{Context: ctx, timeout: over}, cancel
}

// ending says who ended an attempt.
type ending int

const (
	// endedByItself is the ending of an attempt that nobody stopped.
	endedByItself ending = iota
	endedByTimeout
	// endedByClient is that of a client which went away, or whose own deadline passed.
	endedByClient
)

// ending says who ended the attempt. To be asked before its context is cancelled.
func (a attemptContext) ending() ending {
	switch cause := context.Cause(a); {
	case errors.Is(cause, errTimeout):
		return endedByTimeout
	case cause != nil:
		return endedByClient
	}
	// The library has a clock of its own, which may be ahead of Go's timers.
	deadline, bounded := a.Deadline()
	switch {
	case !bounded || time.Now().Before(deadline):
		return endedByItself
	case deadline.Before(a.timeout):
		return endedByClient
	default:
		return endedByTimeout
	}
}

// sayWhoEndedIt names the setting, or the client, whose time ran out: the library knows only that it was told to stop, and
// what it was waiting for.
func (e *signalExporter) sayWhoEndedIt(ctx attemptContext, r *request, err error) error {
	var failure *native.Error
	if !errors.As(err, &failure) || failure.Code != native.CodeCancelled {
		return err
	}
	said := *failure
	switch by := ctx.ending(); {
	case by == endedByTimeout:
		said.Message = fmt.Sprintf("not stored within timeout (%s): %s", e.cfg.TimeoutConfig.Timeout, failure.Message)
	case by == endedByClient && !errors.Is(ctx.Err(), context.Canceled):
		said.Message = fmt.Sprintf("the client's time ran out (after %s, before the timeout of %s): %s",
			time.Since(r.received).Round(time.Millisecond), e.cfg.TimeoutConfig.Timeout, failure.Message)
	}
	return &said
}
