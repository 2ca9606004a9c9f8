/*
 * The machine of a process: rules of a server's checkup, asked with what they can know of any
 * process. It has neither a backlog nor a number of loops, and whether it should be root is its own
 * matter.
 */
#include <cli/doctor_machine.h>

#include <cli/doctor_text.h>

void doctor_machine_examine(uint32_t pid, struct checkup_report *ret_report)
{
    struct checkup_look now = {.has_host = true};
    const struct checkup_facts facts = {.now = &now, .before = &now};

    checkup_read_host("", pid, &now.host);
    now.host.is_root = false;
    checkup_examine(&facts, 1u << CHECKUP_SYSTEM, ret_report);
}

void doctor_machine_print(const struct checkup_report *report, uint32_t count)
{
    for (uint32_t i = 0; i < report->count; i++) {
        const struct checkup_finding *finding = &report->finding[i];

        doctor_text_finding(count + i + 1, checkup_severity_names[finding->severity],
                            checkup_cause(finding), finding->bytes, finding->text,
                            checkup_advice(finding));
    }
}

void doctor_machine_put(struct json *json, const struct checkup_report *report)
{
    for (uint32_t i = 0; i < report->count; i++) {
        const struct checkup_finding *finding = &report->finding[i];

        json_object(json, NULL);
        json_string(json, "cause", checkup_cause(finding));
        json_string(json, "part", checkup_part_names[finding->part]);
        json_string(json, "severity", checkup_severity_names[finding->severity]);
        json_u64(json, "bytes", finding->bytes);
        json_string(json, "text", finding->text);
        json_string(json, "advice", checkup_advice(finding));
        json_object_end(json);
    }
}

bool doctor_machine_has_warning(const struct checkup_report *report)
{
    return report->count > 0 && report->finding[0].severity >= CHECKUP_WARNING; /* worst first */
}
