/** An interrupted bench exits, so that what it started is ended and what it made is removed by those who wait for the exit. */

export function exitOnSignals(): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130));
}
