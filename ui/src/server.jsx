// What may be done to it, and what is in force? Buttons for administrators, and the settings.
import { useState } from "preact/hooks";
import { act, askJson, usePolled } from "./api.js";
import { Table, Trouble } from "./parts.jsx";

const COLUMNS = [
    { name: "setting", value: ([name]) => name, isText: true },
    { name: "value", value: ([, value]) => value, isText: true },
];

// A button, then what it will do, then what came of it: nothing happens at the first click.
function Action({ action, token }) {
    const [value, setValue] = useState("");
    const [isAsked, setAsked] = useState(false);
    const [told, setTold] = useState({});
    const run = async () => {
        setAsked(false);
        setTold({ text: "under way …" });
        try {
            setTold({ text: await act(action.name, token, action.param ? { [action.param]: value } : {}) });
        } catch (error) {
            setTold({ error });
        }
    };
    const isReady = !action.param || value !== "";
    return (
        <li>
            <div class="controls">
                {action.param && (
                    <label>{action.param} <input value={value} maxLength={255} size={16} onInput={(event) => setValue(event.target.value)} /></label>
                )}
                {!isAsked && <button disabled={!isReady} onClick={() => setAsked(true)}>{action.title}</button>}
                {isAsked && (
                    <>
                        <span role="alert">{action.what}</span>
                        <button onClick={run}>Do it</button>
                        <button onClick={() => setAsked(false)}>Leave it</button>
                    </>
                )}
                {told.text && <span class="told">{told.text}</span>}
            </div>
            <Trouble error={told.error} />
        </li>
    );
}

export function Server() {
    const { value: offered, error } = usePolled((signal) => askJson("/api/v1/actions", signal), 0);
    const { value: flags, error: flagsError } = usePolled((signal) => askJson("/api/v1/status/flags", signal), 0);
    return (
        <>
            <section>
                <h2>Actions</h2>
                <Trouble error={error} />
                <ul class="actions">
                    {offered?.data.actions.filter(({ name }) => name !== "cancel_query").map((action) => <Action action={action} token={offered.data.token} />)}
                </ul>
                <p class="note">Each is logged with the name of who asked for it. A limit holds until the configuration is read again.</p>
            </section>
            <section>
                <h2>Settings</h2>
                <Trouble error={flagsError} />
                {flags && <Table columns={COLUMNS} rows={Object.entries(flags.data)} />}
            </section>
        </>
    );
}
