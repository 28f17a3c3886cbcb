// Shows anew which calls run, every few seconds, as long as somebody looks and has not stopped it.
"use strict";
const calls = document.getElementById("calls");
const button = document.getElementById("pause");
const state = document.getElementById("state");
let stopped = false;

async function refresh() {
    if (stopped || document.hidden || document.getSelection()?.toString()) return;
    try {
        const answer = await fetch(location.href, { cache: "no-store" });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const now = page.getElementById("calls");
        if (!now) throw new Error("signed out");
        if (!stopped) calls.replaceChildren(...now.childNodes);
        state.textContent = "";
    } catch {
        state.textContent = "The server does not answer, or you are signed out. What you see is from before.";
    }
}

button.hidden = false;
button.addEventListener("click", () => {
    stopped = !stopped;
    button.textContent = stopped ? "Go on" : "Stop refreshing";
    refresh();
});
setInterval(refresh, 3000);
