"""nodes and routes from control, and then what happens to them from the entries themselves"""

import json
import pathlib
import queue
import threading
import time

import dial
import grpc
from weft.admin.v1 import (
    cluster_pb2,
    cluster_pb2_grpc,
    node_pb2,
    node_pb2_grpc,
    resource_pb2,
    resource_pb2_grpc,
)
from weft.fabric.v1 import role_pb2
from weft.node.v1 import node_pb2 as own_pb2
from weft.node.v1 import node_pb2_grpc as own_pb2_grpc
from weft.routing.v1 import routing_pb2, routing_pb2_grpc

CALL_WITHIN_S = 10


def add_arguments(command):
    command.add_argument("--context", required=True, help="operator context folder")
    command.add_argument("--resource", default="echo", help="whose routes to show")
    command.add_argument("--until", default="trunk_moved", help="kind of event to end at")
    command.add_argument("--within", type=float, default=60, help="how long to wait for it, seconds")


def run(args):
    until = time.monotonic() + args.within
    nodes, routes = ask_control(args.context, args.resource)
    entries = [
        node
        for node in nodes
        if node.operator_address and any(grant.role == role_pb2.NODE_ROLE_ENTRY for grant in node.roles)
    ]
    heard = queue.Queue()
    for node in entries:
        follow(args.context, node, heard)
    dial.tell(watching=len(nodes))
    return {
        "nodes": [{"name": node.name, "health": role_pb2.NodeHealth.Name(node.health)} for node in nodes],
        "routes": routes,
        "events": count_until(heard, args.until, until),
    }


def count_until(heard, kind, until):
    """How many events of each kind were told of, up to the first one of this kind."""
    counts = {}
    while True:
        try:
            name, event = heard.get(timeout=max(0, until - time.monotonic()))
        except queue.Empty:
            raise ValueError(f"no {kind} was told of in time") from None
        if isinstance(event, grpc.RpcError):
            raise event
        dial.tell(node=name, kind=event.kind, facts=dict(event.facts))
        counts[event.kind] = counts.get(event.kind, 0) + 1
        if event.kind == kind:
            return counts


def ask_control(folder, resource):
    """Asks control's operator port, as the context folder says where that is: all nodes, and the best path from each entry."""
    context = json.loads((pathlib.Path(folder) / "context.json").read_text())
    with dial.dial_folder(context["operatorAddress"], folder, "operator") as control:
        clusters = cluster_pb2_grpc.ClusterServiceStub(control).ListClusters(
            cluster_pb2.ListClustersRequest(), timeout=CALL_WITHIN_S
        )
        cluster_id = clusters.clusters[0].id
        nodes = node_pb2_grpc.NodeAdminServiceStub(control).ListNodes(
            node_pb2.ListNodesRequest(cluster_id=cluster_id), timeout=CALL_WITHIN_S
        )
        listed = resource_pb2_grpc.ResourceServiceStub(control).ListResources(
            resource_pb2.ListResourcesRequest(cluster_id=cluster_id), timeout=CALL_WITHIN_S
        )
        wanted = next(known for known in listed.resources if known.name == resource)
        explained = routing_pb2_grpc.RoutingServiceStub(control).ExplainRoute(
            routing_pb2.ExplainRouteRequest(
                cluster_id=cluster_id, resource=resource, organization_id=wanted.organization_id
            ),
            timeout=CALL_WITHIN_S,
        )
    routes = {
        route.from_name: list(candidate.names)
        for route in explained.routes
        for candidate in route.candidates
        if candidate.outcome == "primary"
    }
    return list(nodes.nodes), routes


def follow(folder, node, heard):
    """Asks a node for its events and hears every one of them, from the node itself, in a thread of its own."""
    connection = dial.dial_folder(node.operator_address, folder, "operator")
    grpc.channel_ready_future(connection).result(timeout=CALL_WITHIN_S)
    # No deadline: servers take none beyond half a minute, and a watch has no end of its own.
    events = own_pb2_grpc.NodeServiceStub(connection).WatchEvents(own_pb2.WatchEventsRequest())

    def hear():
        try:
            for event in events:
                heard.put((node.name, event))
        except grpc.RpcError as error:
            heard.put((node.name, error))

    threading.Thread(target=hear, daemon=True).start()
