// What the people of the tests say: Chromium's own microphone without a human is a beep now and then, and nobody is found to speak by it.
import { writeFileSync } from "node:fs";

const rate = 48_000;
const seconds = 10;

// tone writes a WAV file with a tone that swells and fades as speech does.
export function tone(file) {
    const samples = rate * seconds;
    const wav = Buffer.alloc(44 + 2 * samples);
    wav.write("RIFF", 0);
    wav.writeUInt32LE(36 + 2 * samples, 4);
    wav.write("WAVEfmt ", 8);
    wav.writeUInt32LE(16, 16); // the length of what describes the format:
    wav.writeUInt16LE(1, 20); // PCM,
    wav.writeUInt16LE(1, 22); // one channel,
    wav.writeUInt32LE(rate, 24);
    wav.writeUInt32LE(2 * rate, 28); // bytes a second,
    wav.writeUInt16LE(2, 32); // bytes a sample,
    wav.writeUInt16LE(16, 34); // bits a sample
    wav.write("data", 36);
    wav.writeUInt32LE(2 * samples, 40);
    for (let i = 0; i < samples; i++) {
        const t = i / rate;
        const swell = 0.7 + 0.3 * Math.sin(2 * Math.PI * 3 * t);
        const voice = 0.6 * Math.sin(2 * Math.PI * 200 * t) + 0.3 * Math.sin(2 * Math.PI * 800 * t) + 0.1 * Math.sin(2 * Math.PI * 2500 * t);
        wav.writeInt16LE(Math.round(14_000 * swell * voice), 44 + 2 * i);
    }
    writeFileSync(file, wav);
}
