package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"causeway/bridges"

	"maunium.net/go/mautrix"
)

const (
	// statusWait bounds the wait for a bridge to say how it is doing: whoever asks is told how the others are.
	statusWait = 2 * time.Second
	// unbridgeWait is longer than a bridge takes to start.
	unbridgeWait = 30 * time.Second
)

// bridgeState is what a bridge says of itself, or why it does not.
type bridgeState struct {
	status *bridges.Status
	fault  string
}

func (b hostedBridge) control() bridges.Control {
	return bridges.Control{Registration: b.Registration(), Transport: b.toBridge}
}

// states asks all bridges at once how they are doing, by the ids of their services.
func (set bridgeSet) states(ctx context.Context) map[string]bridgeState {
	ctx, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	answers := make([]bridgeState, len(set))
	var asking sync.WaitGroup
	for i, b := range set {
		asking.Go(func() {
			status, err := b.control().Status(ctx)
			if err != nil {
				answers[i].fault = controlText(err)
				return
			}
			answers[i].status = &status
		})
	}
	asking.Wait()
	all := make(map[string]bridgeState, len(set))
	for i, b := range set {
		all[b.Registration().ID] = answers[i]
	}
	return all
}

// controlText is why a bridge does not answer, in words.
func controlText(err error) string {
	refused, is := errors.AsType[mautrix.RespError](err)
	switch {
	case is:
		return refused.Err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return "its process does not run"
	case errors.Is(err, context.DeadlineExceeded):
		return "it does not answer"
	}
	return err.Error()
}

// unbridge has a bridge leave a room, in whichever process it runs.
func (set bridgeSet) unbridge(ctx context.Context, o bridgeOrder) error {
	switch {
	case len(set) == 0:
		return errors.New("this server has no bridges of its own")
	case o.Bridge == "" && len(set) > 1:
		return errors.New("there are several bridges: name one with --bridge")
	case o.Bridge == "":
		o.Bridge = set[0].Registration().ID
	}
	ctx, cancel := context.WithTimeout(ctx, unbridgeWait)
	defer cancel()
	for _, b := range set {
		if b.Registration().ID != o.Bridge {
			continue
		}
		err := b.control().Unbridge(ctx, o.RoomID, "the administrator of the server asked for that")
		switch {
		case errors.Is(err, bridges.ErrNotInside):
			return fmt.Errorf("the bridge %s is not in %s", o.Bridge, o.RoomID)
		case err != nil:
			return fmt.Errorf("the bridge %s cannot be told: %s", o.Bridge, controlText(err))
		}
		return nil
	}
	return fmt.Errorf("this server has no bridge %q of its own", o.Bridge)
}
