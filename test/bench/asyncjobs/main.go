// Command asyncjobs works off tasks that do nothing with
// github.com/choria-io/asyncjobs, so that a benchmark can stand beside it. It
// is a module of its own: nothing of it gets into dispatchd's.
//
// For each line with a number on its standard input it queues so many tasks,
// says so with a line, works them off, and prints the seconds that this took and
// the seconds of processor time that it used itself. The queueing is left out.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/choria-io/asyncjobs"
	"github.com/nats-io/nats.go"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run takes the server's address and how many tasks run at once as arguments.
func run() error {
	if len(os.Args) != 3 {
		return fmt.Errorf("usage: %s ADDRESS SLOTS", os.Args[0])
	}
	slots, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return fmt.Errorf("read the number of slots: %w", err)
	}
	nc, err := nats.Connect(os.Args[1], nats.UseOldRequestStyle()) // the library asks for it
	if err != nil {
		return fmt.Errorf("connect to %s: %w", os.Args[1], err)
	}
	defer nc.Close()
	client, err := asyncjobs.NewClient(asyncjobs.NatsConn(nc), asyncjobs.ClientConcurrency(slots))
	if err != nil {
		return fmt.Errorf("make the client: %w", err)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			return fmt.Errorf("read the number of tasks: %w", err)
		}
		if err := fill(client, n); err != nil {
			return err
		}
		fmt.Println("queued")
		took, used, err := workOff(client, n)
		if err != nil {
			return err
		}
		fmt.Printf("%f %f\n", took.Seconds(), used.Seconds())
	}
	return lines.Err()
}

// taskType routes the tasks to their handler.
const taskType = "bench:nothing"

// fill queues the tasks, several at a time: a task is two messages, each of
// which is waited for.
func fill(client *asyncjobs.Client, n int) error {
	const fillers = 16
	var left atomic.Int64
	left.Store(int64(n))
	errs := make([]error, fillers)
	var filling sync.WaitGroup
	for i := range fillers {
		filling.Go(func() {
			for errs[i] == nil && left.Add(-1) >= 0 {
				var task *asyncjobs.Task
				if task, errs[i] = asyncjobs.NewTask(taskType, map[string]string{"image": "registry.example.com/acme/app:1"}); errs[i] == nil {
					errs[i] = client.EnqueueTask(context.Background(), task)
				}
			}
		})
	}
	filling.Wait()
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("queue a task: %w", err)
		}
	}
	return nil
}

// workOff stops the clock when the last handler is called: what that task's end
// takes is left out, in the library's favour.
func workOff(client *asyncjobs.Client, n int) (took, used time.Duration, err error) {
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	var left atomic.Int64
	left.Store(int64(n))
	done := make(chan struct{})
	router := asyncjobs.NewTaskRouter()
	err = router.HandleFunc(taskType, func(context.Context, asyncjobs.Logger, *asyncjobs.Task) (any, error) {
		if left.Add(-1) == 0 {
			close(done)
		}
		return "done", nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("register the handler: %w", err)
	}
	began, usedBefore := time.Now(), processorTime()
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx, router) }()
	select {
	case <-done:
		took, used = time.Since(began), processorTime()-usedBefore
	case <-ctx.Done():
		return 0, 0, fmt.Errorf("%d of %d tasks are left: %w", left.Load(), n, ctx.Err())
	}
	// What is under way may end before the next round.
	timer := time.NewTimer(200 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
	stop()
	return took, used, <-ended
}

func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
