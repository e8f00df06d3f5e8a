// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// fakeLines is a library's log.
type fakeLines struct {
	mu    sync.Mutex
	lines []string
}

// say adds lines; one that begins with ! is an error.
func (f *fakeLines) say(lines ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, lines...)
}

func (f *fakeLines) take() (native.LogLevel, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.lines) == 0 {
		return native.LogNone, ""
	}
	line := f.lines[0]
	f.lines = f.lines[1:]
	if line[0] == '!' {
		return native.LogError, line[1:]
	}
	return native.LogWarn, line
}

func observed() (*zap.Logger, *observer.ObservedLogs) {
	core, seen := observer.New(zap.InfoLevel)
	return zap.New(core), seen
}

// told gives the lines with their levels.
func told(seen *observer.ObservedLogs) []string {
	var lines []string
	for _, entry := range seen.All() {
		lines = append(lines, entry.Level.String()+" "+entry.Message)
	}
	return lines
}

func TestTheLibrarysLinesGoToTheLoggerThatCameLast(t *testing.T) {
	library := &fakeLines{}
	log := &libraryLog{take: library.take}
	first, firstSeen := observed()
	second, secondSeen := observed()

	library.say("otlp2iceberg: before anybody")
	log.listen(first)
	library.say("commit: cannot delete", "!commit: left alone")
	log.handOn()
	log.listen(second)
	library.say("for the second")
	log.leave(second)
	library.say("for the first again")
	log.leave(first)
	library.say("for nobody")
	log.handOn()

	assert.Equal(t, []string{
		"warn otlp2iceberg: before anybody", "warn commit: cannot delete", "error commit: left alone", "warn for the first again",
	}, told(firstSeen))
	assert.Equal(t, []string{"warn for the second"}, told(secondSeen))
	log.leave(first)
	assert.Equal(t, []string{"for nobody"}, library.lines, "who has left is not told")
}

func TestWhatTheLibrarySaysBetweenCallsIsAskedFor(t *testing.T) {
	library := &fakeLines{}
	log := &libraryLog{take: library.take}
	logger, seen := observed()
	log.listen(logger)
	library.say("in the background")
	require.Eventually(t, func() bool { return seen.Len() == 1 }, time.Minute, 10*time.Millisecond)
	log.leave(logger)
}
