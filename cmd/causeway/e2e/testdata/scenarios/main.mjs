// Runs the scenarios, each with people of its own, against the homeserver whose address is the first argument. Each line of standard
// output is what became of one: {"name", "error"}. Standard error has the SDK's log.
import { Console } from "node:console";

globalThis.console = new Console(process.stderr);
// What a scenario that has failed was still waiting for.
process.on("unhandledRejection", (error) => console.error("unhandled:", error?.message ?? error));

const { Person } = await import("./people.mjs");
const chapters = await Promise.all(
    ["messages", "threads", "presence", "reading", "spaces", "membership", "lazy", "sliding", "delayed"].map(
        (name) => import(`./${name}.mjs`),
    ),
);

const [baseUrl, only] = process.argv.slice(2);

for (const chapter of chapters) {
    for (const [name, scenario] of Object.entries(chapter)) {
        if (only && !name.includes(only)) {
            continue;
        }
        const cast = [];
        const cue = async (who) => {
            const person = await Person.register(baseUrl, who);
            cast.push(person);
            return person;
        };
        let error;
        try {
            await scenario(cue);
        } catch (failure) {
            error = String(failure?.stack ?? failure);
        }
        cast.forEach((person) => person.stop());
        process.stdout.write(JSON.stringify({ name, error }) + "\n");
    }
}
process.exit(0);
