// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"sync"
	"time"
)

// load is one run of requests to one Collector.
type load struct {
	sender  sender
	pool    *pool
	options options
	// rate in records per second; 0 is as many as are accepted.
	rate   float64
	length time.Duration
}

// report is what a load came to.
type report struct {
	// SentRecords are those of all requests that were sent, AcceptedRecords of those that were answered well.
	SentRecords     int `json:"sent_records"`
	AcceptedRecords int `json:"accepted_records"`
	Errors          int `json:"errors"`
	// FirstError is the first of them, or empty.
	FirstError string `json:"first_error,omitempty"`
	// Seconds until the last request was sent, and until the last was answered.
	SendSeconds float64 `json:"send_seconds"`
	Seconds     float64 `json:"seconds"`
	// P50Millis and P99Millis are of the time from sending a request to its answer.
	P50Millis float64 `json:"p50_millis"`
	P99Millis float64 `json:"p99_millis"`
}

// run sends until the time is over and waits for all answers.
func (l load) run(ctx context.Context) report {
	var (
		mu      sync.Mutex
		waiting sync.WaitGroup
		took    []time.Duration
		sum     report
	)
	begun := time.Now()
	due := make(chan struct{})
	for range l.options.inFlight {
		waiting.Go(func() {
			for range due {
				duration, err := l.one(ctx)
				mu.Lock()
				sum.SentRecords += l.pool.records
				if err == nil {
					sum.AcceptedRecords += l.pool.records
					took = append(took, duration)
				} else {
					if sum.Errors++; sum.FirstError == "" {
						sum.FirstError = err.Error()
					}
				}
				mu.Unlock()
			}
		})
	}
	l.pace(begun, due)
	sum.SendSeconds = time.Since(begun).Seconds()
	close(due)
	waiting.Wait()
	sum.Seconds = time.Since(begun).Seconds()
	sum.P50Millis, sum.P99Millis = percentile(took, 50), percentile(took, 99)
	return sum
}

// pace says when a request is due. While all that may wait for an answer do, later ones are late, and sent as soon as
// they can be: a slow moment is made up for.
func (l load) pace(begun time.Time, due chan<- struct{}) {
	end := time.NewTimer(l.length)
	defer end.Stop()
	var gap time.Duration
	if l.rate > 0 {
		gap = time.Duration(float64(l.pool.records) / l.rate * float64(time.Second))
	}
	for next := begun; ; next = next.Add(gap) {
		if wait := time.Until(next); gap > 0 && wait > 0 {
			time.Sleep(wait)
		}
		if time.Since(begun) >= l.length {
			return
		}
		select {
		case due <- struct{}{}:
		case <-end.C:
			return
		}
	}
}

func (l load) one(ctx context.Context) (time.Duration, error) {
	request := l.pool.take()
	defer l.pool.give(request)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(l.options.timeoutSeconds)*time.Second)
	defer cancel()
	begun := time.Now()
	err := l.sender.send(ctx, request.bytes)
	return time.Since(begun), err
}

// percentile gives milliseconds; 0 when there is nothing.
func percentile(took []time.Duration, percent int) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return float64(took[(len(took)-1)*percent/100].Microseconds()) / 1000
}
