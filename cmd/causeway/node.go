package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"causeway/sfu/network"
	"causeway/sfu/node"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

var errNodeHasNoStore = errors.New("the role is sfu: such a process has no database, accounts or rooms. Do this where the homeserver is")

// serveNode runs a process whose role is roleSFU until ctx ends: signalling, media, TURN and metrics, and an API for its homeserver.
func serveNode(ctx context.Context, cfg *Config, log zerolog.Logger, stdout io.Writer) (err error) {
	var relaying *turnPart
	public := publicAddresses(cfg, log, func() { relaying.move() })
	own := log.With().Str("part", "calls").Logger()
	c := &calls{base: strings.TrimRight(cfg.BaseURL(), "/"), public: public}
	if c.net, err = openMedia(cfg, own); err != nil {
		return err
	}
	defer closing(&err, c.close)
	if relaying, err = openTURN(ctx, cfg, new(memorySecret), public, c.services, log); err != nil {
		return err
	}
	defer closing(&err, relaying.close)
	c.relayedBy(relaying)
	key, secret := nodeKey(cfg.Calls.SFU.Secret)
	n, err := node.New(node.Config{Key: key, Secret: secret, SFU: c.sfuConfig(own), Log: own})
	if err != nil {
		return err
	}
	c.sfu = n.SFU()
	if relaying != nil {
		relaying.sessions.calls = n
	}
	mux := http.NewServeMux()
	mux.Handle(callMediaPath+"/", http.StripPrefix(callMediaPath, n.Handler()))
	web, err := listen(cfg, func() {}, mux, log)
	if err != nil {
		return err
	}
	metrics, err := listenMetrics(cfg.Metrics, func(context.Context) servicesStatus { return servicesStatus{Running: true} }, log,
		relaying.printMetrics, c.printMetrics)
	if err != nil {
		return errors.Join(err, web.listener.Close())
	}
	fmt.Fprintf(stdout, "Causeway serves calls of a homeserver elsewhere\n\n  Address for calls.sfu.nodes:  %s\n  Media:                        %s\n\n", c.base, c.where())
	return runNode(ctx, log, web, metrics, relaying, public, n)
}

// runNode runs the parts of a node until ctx ends: no new participants first, then those that are there are told that it stops.
func runNode(
	ctx context.Context, log zerolog.Logger, web *webServer, metrics *metricsServer, relaying *turnPart, public *network.Discovery, n *node.Node,
) error {
	behind, stopBehind := context.WithCancel(log.WithContext(context.WithoutCancel(ctx)))
	defer stopBehind()
	running, behind := errgroup.WithContext(behind)
	running.Go(func() error { return metrics.run(behind) })
	running.Go(func() error { return relaying.run(behind) })
	running.Go(func() error { return public.Run(behind) })
	running.Go(func() error { return n.Run(behind) })
	front, stopFront := context.WithCancel(ctx)
	defer stopFront()
	context.AfterFunc(behind, stopFront) // a part that fails takes the process down in order
	webErr := web.run(front)
	log.Info().Msg("Stopping")
	stopBehind()
	return errors.Join(running.Wait(), webErr)
}

// memorySecret keeps secrets of TURN until the process ends. After that, whoever was relayed comes in anew, and is given new credentials. It is a
// turn.Storage.
type memorySecret struct {
	mu     sync.Mutex // guards secret
	secret []byte
}

// Update implements turn.Storage.
func (m *memorySecret) Update(_ context.Context, change func([]byte) ([]byte, error)) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	secret, err := change(m.secret)
	if err == nil {
		m.secret = secret
	}
	return secret, err
}
