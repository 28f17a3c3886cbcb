// A person on IRC with a plain client, as far as the pages need one.
import { connect } from "node:net";

// person connects to a server (host:port) under a nick. heard waits for a line that fits; send sends
// one, and say says something to somebody.
export async function person(address, nick) {
    const [host, port] = address.split(":");
    const socket = connect(Number(port), host);
    const lines = [], waiting = new Set();
    let rest = "";
    socket.setEncoding("utf8");
    socket.on("data", (text) => {
        const parts = (rest + text).split("\r\n");
        rest = parts.pop();
        for (const line of parts) {
            if (line.startsWith("PING")) send(`PONG${line.slice(4)}`);
            lines.push(line);
            for (const look of [...waiting]) look();
        }
    });
    const send = (line) => socket.write(line + "\r\n");
    const heard = (pattern) => new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`${nick} heard nothing like ${pattern} on IRC, but\n${lines.join("\n")}`)), 20_000);
        const look = () => {
            const line = lines.find((line) => pattern.test(line));
            if (line === undefined) return;
            clearTimeout(timer);
            waiting.delete(look);
            resolve(line);
        };
        waiting.add(look);
        look();
    });
    send(`NICK ${nick}`);
    send(`USER ${nick} 0 * ${nick}`);
    await heard(/ 001 /);
    return { heard, send, say: (to, text) => send(`PRIVMSG ${to} :${text}`), quit: () => socket.end("QUIT\r\n") };
}
