/** How the near edge reaches the far edge: along relays of the fabric, or by a TLS connection to a port. */
export type Route = PathRoute | TlsRoute;

export interface PathRoute {
  readonly kind: "path";
  readonly hops: readonly string[];
  readonly organizationId: string;
}

export interface TlsRoute {
  readonly kind: "tls";
  readonly port: number;
  readonly serverName: string;
  /** The node whose certificate must be shown there. */
  readonly peerId: string;
  /** A relay in between ends the TLS and begins another. */
  readonly terminated: boolean;
}
