/*
 * The door of `promql`: expressions over time series.
 */
#ifndef QUARRY_PROMQL_PROMQL_H
#define QUARRY_PROMQL_PROMQL_H

#include <promql/ast.h>
#include <promql/memory.h>
#include <promql/source.h>

#endif
