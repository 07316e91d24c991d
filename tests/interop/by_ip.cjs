/**
 * @grpc/grpc-js on a Node that still takes an IP address as TLS server name (before 26): dials by IP with nothing but three
 * PEM files and ordinary verification, asks the entry's health and sends bytes through AccessService/Connect to an echoing
 * resource. No Protobuf library: the messages are written out. Prints one JSON object.
 *
 *   node by_ip.cjs ADDRESS CA CERT KEY
 */

const { readFileSync } = require("node:fs");
const { Client, credentials } = require("@grpc/grpc-js");

const [address, ...files] = process.argv.slice(2);
const [ca, cert, key] = files.map((file) => readFileSync(file));
const client = new Client(address, credentials.createSsl(ca, key, cert));
const same = (bytes) => bytes;
const deadline = Date.now() + 15_000;

/** A length-delimited field whose content is short. */
const field = (number, content) => Buffer.concat([Buffer.from([(number << 3) | 2, content.length]), content]);
const connectOpen = field(1, field(1, Buffer.from("echo")));
const connectData = field(2, Buffer.from("by address"));
const connectHalfClose = field(3, Buffer.alloc(0));

function health() {
  return new Promise((resolve, reject) => {
    const answered = (error, answer) => (error ? reject(error) : resolve(answer.toString("hex")));
    client.makeUnaryRequest("/grpc.health.v1.Health/Check", same, same, Buffer.alloc(0), { deadline }, answered);
  });
}

function echo() {
  return new Promise((resolve, reject) => {
    const call = client.makeBidiStreamRequest("/weft.access.v1.AccessService/Connect", same, same, { deadline });
    const answers = [];
    call.on("data", (answer) => answers.push(answer));
    call.on("error", reject);
    call.on("end", () =>
      resolve(answers.filter((answer) => answer[0] === 0x12).map((data) => data.subarray(2).toString())),
    );
    for (const message of [connectOpen, connectData, connectHalfClose]) call.write(message);
    call.end();
  });
}

(async () => {
  const answer = { node: process.version, health: await health(), echoed: (await echo()).join("") };
  client.close();
  process.stdout.write(JSON.stringify(answer));
})().catch((error) => {
  process.stderr.write(String(error));
  process.exitCode = 1;
});
