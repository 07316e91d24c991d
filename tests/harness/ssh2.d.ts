/** The part of ssh2 that tests use; the package has no declarations of its own. */

declare module "ssh2" {
  import type { EventEmitter } from "node:events";
  import type { Server as NetServer } from "node:net";
  import type { Duplex, Writable } from "node:stream";

  namespace ssh2 {
    /** One program at the far end: its output to read, its input to write. */
    interface ClientChannel extends Duplex {
      readonly stderr: Duplex;
    }
    interface ServerChannel extends Duplex {
      readonly stderr: Writable;
      exit(code: number): void;
    }
    interface ConnectConfig {
      /** The connection to speak over, in place of one that it makes itself. */
      readonly sock: Duplex;
      readonly username: string;
      readonly privateKey: string;
      readonly hostVerifier: (key: Buffer) => boolean;
    }
    class Client extends EventEmitter {
      connect(config: ConnectConfig): this;
      exec(command: string, callback: (error: Error | undefined, channel: ClientChannel) => void): this;
      end(): this;
    }
    interface Session extends EventEmitter {
      on(
        name: "exec",
        listener: (accept: () => ServerChannel, reject: () => void, info: { command: string }) => void,
      ): this;
    }
    interface Authentication {
      readonly method: string;
      readonly key?: { readonly data: Buffer };
      readonly blob?: Buffer;
      readonly signature?: Buffer;
      readonly hashAlgo?: string;
      accept(): void;
      reject(methods?: readonly string[]): void;
    }
    interface ServerConnection extends EventEmitter {
      on(name: "authentication", listener: (asked: Authentication) => void): this;
      on(name: "session", listener: (accept: () => Session) => void): this;
      on(name: "error", listener: (error: Error) => void): this;
    }
    interface ParsedKey {
      getPublicSSH(): Buffer;
      verify(data: Buffer, signature: Buffer, hashAlgo?: string): boolean;
    }

    class Server extends NetServer {
      constructor(
        config: { readonly hostKeys: readonly string[] },
        onConnection: (connection: ServerConnection) => void,
      );
    }
    const utils: {
      generateKeyPairSync(kind: "ed25519"): { readonly private: string; readonly public: string };
      parseKey(key: string): ParsedKey;
    };
  }
  export = ssh2;
}
