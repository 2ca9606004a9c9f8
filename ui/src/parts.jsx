// What pages are made of: tables, bars, notes.
import { useState } from "preact/hooks";

// Told apart by those who see few colours as well (after Okabe and Ito).
export const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f"];

export function colourOf(index) {
    return COLOURS[index % COLOURS.length];
}

export function Trouble({ error }) {
    if (!error) {
        return null;
    }
    const hint = error.status === 401 || error.status === 403 ? " This page needs the right admin." : "";
    return <p class="trouble" role="alert">{`${error.message}.`.replace(/\.\s*\.$/, ".") + hint}</p>;
}

export function Fact({ name, value, note }) {
    return (
        <div class="fact">
            <dt>{name}</dt>
            <dd>{value}{note && <small>{note}</small>}</dd>
        </div>
    );
}

export function Facts({ children }) {
    return <dl class="facts">{children}</dl>;
}

// `parts`: [{ name, value, text }]; `whole`: what the width stands for.
export function Bar({ parts, whole, label }) {
    const shown = parts.filter((part) => part.value > 0);
    return (
        <figure class="budget">
            <div class="bar" role="img" aria-label={label}>
                {shown.map((part) => (
                    <span title={`${part.name}: ${part.text}`}
                        style={{ width: `${(100 * part.value) / whole}%`, background: part.colour }} />
                ))}
            </div>
            <figcaption>
                {shown.map((part) => (
                    <span class="key"><i style={{ background: part.colour }} />{part.name} <b>{part.text}</b></span>
                ))}
            </figcaption>
        </figure>
    );
}

// `columns`: [{ name, value(row), text(row), isText }]. Sorted by a click on a head.
export function Table({ columns, rows, sortedBy, caption, onRow }) {
    const [order, setOrder] = useState({ name: sortedBy, isRising: false });
    const column = columns.find((one) => one.name === order.name);
    const sorted = column
        ? [...rows].sort((a, b) => {
              const [left, right] = [column.value(a), column.value(b)];
              const sign = left < right ? -1 : left > right ? 1 : 0;
              return order.isRising ? sign : -sign;
          })
        : rows;
    const turn = (name) => setOrder({ name, isRising: order.name === name ? !order.isRising : false });
    return (
        <div class="scroll">
            <table>
                {caption && <caption>{caption}</caption>}
                <thead>
                    <tr>
                        {columns.map((one) => (
                            <th class={one.isText ? "words" : ""} aria-sort={order.name === one.name ? (order.isRising ? "ascending" : "descending") : "none"}>
                                <button onClick={() => turn(one.name)}>{one.name}{order.name === one.name ? (order.isRising ? " ▴" : " ▾") : ""}</button>
                            </th>
                        ))}
                    </tr>
                </thead>
                <tbody>
                    {sorted.map((row) => (
                        <tr onClick={onRow && (() => onRow(row))}>
                            {columns.map((one) => (
                                <td class={one.isText ? "words" : ""}>{one.text ? one.text(row) : one.value(row)}</td>
                            ))}
                        </tr>
                    ))}
                </tbody>
            </table>
        </div>
    );
}
