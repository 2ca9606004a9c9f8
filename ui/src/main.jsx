// The console: a page for each question, chosen by what stands behind the #.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Cache } from "./cache.jsx";
import { Classes } from "./classes.jsx";
import { History } from "./history.jsx";
import { KeyValue } from "./kv.jsx";
import { HeapMap } from "./map.jsx";
import { Overview } from "./overview.jsx";
import { Query } from "./query.jsx";
import { Server } from "./server.jsx";
import { Stacks } from "./stacks.jsx";
import "./style.css";

const PAGES = {
    overview: ["Overview", Overview],
    map: ["Heap map", HeapMap],
    history: ["Over time", History],
    classes: ["Size classes", Classes],
    stacks: ["Stacks", Stacks],
    cache: ["Cache", Cache],
    kv: ["Key-value", KeyValue],
    series: ["Series", Query],
    server: ["Server", Server],
};

function chosenPage() {
    const name = location.hash.slice(1);
    return name in PAGES ? name : "overview";
}

function Console() {
    const [page, setPage] = useState(chosenPage());
    useEffect(() => {
        const turn = () => setPage(chosenPage());
        window.addEventListener("hashchange", turn);
        return () => window.removeEventListener("hashchange", turn);
    }, []);
    const [title, Page] = PAGES[page];
    useEffect(() => {
        document.title = `${title} · Quarry`;
    }, [title]);
    return (
        <>
            <header>
                <h1>Quarry</h1>
                <nav aria-label="Pages">
                    {Object.entries(PAGES).map(([name, [words]]) => (
                        <a href={`#${name}`} aria-current={name === page ? "page" : undefined}>{words}</a>
                    ))}
                </nav>
            </header>
            <main key={page}><Page /></main>
        </>
    );
}

render(<Console />, document.getElementById("console"));
