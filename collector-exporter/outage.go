// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"go.opentelemetry.io/collector/component/componentstatus"
)

// outageReminder is how often an outage is told of while it lasts.
const outageReminder = time.Minute

// outage tells of attempts that fail for a reason that may pass. exporterhelper tells of each, but as information only, and
// nothing is lost that would count as an error; so without this an outage was silent until a queue was full.
//
// It warns when attempts begin to fail, at most once in outageReminder also where they fail and succeed by turns, and
// says when they succeed again. The component's status follows at once.
type outage struct {
	logger *zap.Logger
	// report takes the component's status, and does not wait. It is set by Start.
	report func(*componentstatus.Event)

	mu sync.Mutex
	// since is when attempts began to fail; zero while they succeed.
	since time.Time
	// attempts have failed since.
	attempts int
	// warned is when this was last warned of, and told says whether that was of this outage.
	warned time.Time
	told   bool
}

// failed notes that an attempt failed for a reason that may pass.
func (o *outage) failed(now time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		o.since, o.attempts, o.told = now, 0, false
		o.report(componentstatus.NewRecoverableErrorEvent(err))
	}
	o.attempts++
	if !o.warned.IsZero() && now.Sub(o.warned) < outageReminder {
		return
	}
	o.warned, o.told = now, true
	o.logger.Warn("Attempts to store fail.",
		zap.Int("failed_attempts", o.attempts), zap.Time("since", o.since), zap.Error(err))
}

// succeeded notes that an attempt stored something.
func (o *outage) succeeded(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return
	}
	if o.told {
		o.logger.Info("Attempts to store succeed again.",
			zap.Int("failed_attempts", o.attempts), zap.Duration("failed_for", now.Sub(o.since)))
	}
	o.since = time.Time{}
	o.report(componentstatus.NewEvent(componentstatus.StatusOK))
}
