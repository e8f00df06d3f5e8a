// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"go.opentelemetry.io/collector/component/componentstatus"
)

// outageReminder is the least time between two warnings about failing attempts.
const outageReminder = time.Minute

// outage logs temporary failures of attempts. exporterhelper logs each one, but only at info level, and no data is lost
// that would count as an error. Without this type an outage would be silent until a queue was full.
//
// It warns when attempts begin to fail and while they go on failing, at most once per outageReminder, even if failures
// and successes alternate. It logs when attempts succeed again. The component's status follows at once.
type outage struct {
	logger *zap.Logger
	// report accepts the component's status without blocking. The exporter's start sets it.
	report func(*componentstatus.Event)

	mu sync.Mutex
	// since is when attempts began to fail. It is zero while they succeed.
	since time.Time
	// attempts counts the failures since then.
	attempts int
	// lastWarning is the time of the last warning, and warned says whether that was about this outage.
	lastWarning time.Time
	warned      bool
}

// failed notes the temporary failure of an attempt.
func (o *outage) failed(now time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		o.since, o.attempts, o.warned = now, 0, false
		o.report(componentstatus.NewRecoverableErrorEvent(err))
	}
	o.attempts++
	if !o.lastWarning.IsZero() && now.Sub(o.lastWarning) < outageReminder {
		return
	}
	o.lastWarning, o.warned = now, true
	o.logger.Warn("Exports are failing.",
		zap.Int("failed_attempts", o.attempts), zap.Time("since", o.since), zap.Error(err))
}

// succeeded notes the success of an attempt.
func (o *outage) succeeded(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return
	}
	if o.warned {
		o.logger.Info("Exports succeed again.",
			zap.Int("failed_attempts", o.attempts), zap.Duration("failed_for", now.Sub(o.since)))
	}
	o.since = time.Time{}
	o.report(componentstatus.NewEvent(componentstatus.StatusOK))
}
