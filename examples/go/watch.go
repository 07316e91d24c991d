package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	adminv1 "weft.internal/gen/weft/admin/v1"
	fabricv1 "weft.internal/gen/weft/fabric/v1"
	nodev1 "weft.internal/gen/weft/node/v1"
	routingv1 "weft.internal/gen/weft/routing/v1"
)

// Watched is what "watch" prints at its end.
type Watched struct {
	Nodes []NodeSeen `json:"nodes"`
	// Routes are the best path from each entry to the resource, by node names.
	Routes map[string][]string `json:"routes"`
	// Events counts what entries told of, by kind.
	Events map[string]int `json:"events"`
}

// NodeSeen is a node as control knows it.
type NodeSeen struct {
	Name   string `json:"name"`
	Health string `json:"health"`
}

type event struct {
	node string
	told *nodev1.WatchEventsResponse
	err  error
}

// watchCommand asks control for nodes and routes, and then follows the entries themselves: where trunks move, which links
// come and go.
func watchCommand(ctx context.Context, args []string) (any, error) {
	flags := flag.NewFlagSet("watch", flag.ExitOnError)
	dir := flags.String("context", "", "operator context folder")
	resource := flags.String("resource", "echo", "whose routes to show")
	until := flags.String("until", "trunk_moved", "kind of event to end at")
	patience := flags.Duration("within", time.Minute, "how long to wait for it")
	_ = flags.Parse(args)
	// No deadline for the streams: servers take none beyond half a minute, and a watch has no end of its own.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(*patience, cancel).Stop()
	nodes, routes, err := askControl(ctx, *dir, *resource)
	if err != nil {
		return nil, err
	}
	watched := &Watched{Routes: routes, Events: map[string]int{}}
	events := make(chan event)
	var asked sync.WaitGroup
	for _, node := range nodes {
		health := fabricv1.NodeHealth_name[int32(node.Health)]
		watched.Nodes = append(watched.Nodes, NodeSeen{Name: node.Name, Health: health})
		if slices.ContainsFunc(node.Roles, isEntry) && node.OperatorAddress != "" {
			asked.Add(1)
			go follow(ctx, *dir, node, &asked, events)
		}
	}
	asked.Wait()
	tell(map[string]any{"watching": len(nodes)})
	for {
		select {
		case <-ctx.Done():
			return nil, errors.New("no " + *until + " was told of in time")
		case heard := <-events:
			if heard.err != nil && ctx.Err() == nil {
				return nil, fmt.Errorf("%s: %s", heard.node, explain(heard.err))
			}
			if heard.told == nil {
				continue
			}
			tell(map[string]any{"node": heard.node, "kind": heard.told.Kind, "facts": heard.told.Facts})
			watched.Events[heard.told.Kind]++
			if heard.told.Kind == *until {
				return watched, nil
			}
		}
	}
}

func isEntry(grant *fabricv1.RoleGrant) bool {
	return grant.Role == fabricv1.NodeRole_NODE_ROLE_ENTRY
}

// askControl asks control's operator port, as the context folder says where that is.
func askControl(ctx context.Context, dir, resource string) ([]*adminv1.Node, map[string][]string, error) {
	var context struct{ OperatorAddress string }
	if err := readJSON(filepath.Join(dir, "context.json"), &context); err != nil {
		return nil, nil, err
	}
	conn, err := dialFolder(context.OperatorAddress, dir, "operator")
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close()
	clusters, err := adminv1.NewClusterServiceClient(conn).ListClusters(ctx, &adminv1.ListClustersRequest{})
	if err != nil {
		return nil, nil, err
	}
	clusterID := clusters.Clusters[0].Id
	listed, err := adminv1.NewNodeAdminServiceClient(conn).ListNodes(ctx, &adminv1.ListNodesRequest{ClusterId: clusterID})
	if err != nil {
		return nil, nil, err
	}
	resources, err := adminv1.NewResourceServiceClient(conn).ListResources(ctx, &adminv1.ListResourcesRequest{ClusterId: clusterID})
	if err != nil {
		return nil, nil, err
	}
	at := slices.IndexFunc(resources.Resources, func(known *adminv1.Resource) bool { return known.Name == resource })
	if at < 0 {
		return nil, nil, errors.New("there is no resource " + resource)
	}
	explained, err := routingv1.NewRoutingServiceClient(conn).ExplainRoute(ctx, &routingv1.ExplainRouteRequest{
		ClusterId:      clusterID,
		Resource:       resource,
		OrganizationId: resources.Resources[at].OrganizationId,
	})
	if err != nil {
		return nil, nil, err
	}
	routes := map[string][]string{}
	for _, route := range explained.Routes {
		for _, candidate := range route.Candidates {
			if candidate.Outcome == "primary" {
				routes[route.FromName] = candidate.Names
			}
		}
	}
	return listed.Nodes, routes, nil
}

// follow hears every event of a node, from the node itself, until ctx ends.
func follow(ctx context.Context, dir string, node *adminv1.Node, asked *sync.WaitGroup, events chan<- event) {
	conn, err := dialFolder(node.OperatorAddress, dir, "operator")
	if err != nil {
		asked.Done()
		events <- event{node: node.Name, err: err}
		return
	}
	defer conn.Close()
	stream, err := nodev1.NewNodeServiceClient(conn).WatchEvents(ctx, &nodev1.WatchEventsRequest{})
	asked.Done()
	for err == nil {
		var told *nodev1.WatchEventsResponse
		if told, err = stream.Recv(); err == nil {
			select {
			case events <- event{node: node.Name, told: told}:
			case <-ctx.Done():
			}
		}
	}
	select {
	case events <- event{node: node.Name, err: err}:
	case <-ctx.Done():
	}
}
