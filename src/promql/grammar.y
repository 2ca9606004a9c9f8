/*
 * The grammar of expressions.
 *
 * Rules have the names and the order of upstream's, and its `error` rules, which say what an error
 * is called: the innermost one around the token that fits nowhere is taken. All rules give up at
 * the first error, since that is the one that is told.
 *
 * Durations have a grammar of their own. After `offset` a number ends one, so that `a offset 5 * 2`
 * is `(a offset 5) * 2`; in brackets arithmetic goes on.
 *
 * The stack is bison's, and bounded: YYMAXDEPTH.
 */
%define api.pure full
%define api.prefix {promql_yy}
%define api.token.prefix {T_}
%define api.location.type {struct promql_range}
%define parse.error custom
%locations
%param {struct promql_parser *parser}
%expect 2 /* group_left and group_right take a list that follows them */

%code requires {
#include <promql/parser.h>
}

%code {
/* All of it lies on the stack of the thread: some 32 bytes an entry. */
#define YYINITDEPTH 2048
#define YYMAXDEPTH  2048

#define YYLLOC_DEFAULT(current, right, n)                                                          \
    do {                                                                                           \
        if (n) {                                                                                   \
            (current).start = YYRHSLOC(right, 1).start;                                            \
            (current).end = YYRHSLOC(right, n).end;                                                \
        } else {                                                                                   \
            (current).start = (current).end = YYRHSLOC(right, 0).end;                              \
        }                                                                                          \
    } while (0)

/* What cannot be made ends all. */
#define MAKE(result, value)                                                                        \
    do {                                                                                           \
        (result) = (value);                                                                        \
        if ((result) == NULL) {                                                                    \
            YYABORT;                                                                               \
        }                                                                                          \
    } while (0)
#define UNEXPECTED(context, expected)                                                              \
    do {                                                                                           \
        promql_unexpected(parser, context, expected);                                              \
        YYABORT;                                                                                   \
    } while (0)

static int promql_yylex(PROMQL_YYSTYPE *value, struct promql_range *at,
                        struct promql_parser *parser);
static void promql_yyerror(struct promql_range *at, struct promql_parser *parser,
                           const char *text);
}

%union {
    struct promql_token token;
    struct promql_node *node;
    struct promql_links *links;
    struct promql_grouping *grouping;
    struct promql_sides *sides;
    double number;
}

%token BEGIN_EXPRESSION BEGIN_SELECTOR
%token <token> EOF ERROR
%token <token> IDENTIFIER METRIC_IDENTIFIER STRING NUMBER DURATION
%token <token> LEFT_PAREN RIGHT_PAREN LEFT_BRACE RIGHT_BRACE LEFT_BRACKET RIGHT_BRACKET
%token <token> COMMA COLON EQL
/* Operators: what the lexer calls so is from ADD to NEQ_REGEX. */
%token <token> ADD SUB MUL DIV MOD POW EQLC NEQ GTR LSS GTE LTE TRIM_UPPER TRIM_LOWER AT
%token <token> AND OR UNLESS ATAN2 EQL_REGEX NEQ_REGEX
%token <token> SUM AVG MIN MAX COUNT GROUP STDDEV STDVAR TOPK BOTTOMK COUNT_VALUES QUANTILE
%token <token> LIMITK LIMIT_RATIO
%token <token> BOOL BY WITHOUT ON IGNORING GROUP_LEFT GROUP_RIGHT FILL FILL_LEFT FILL_RIGHT
%token <token> OFFSET ANCHORED SMOOTHED
%token <token> START END STEP RANGE MIN_OF MAX_OF

%type <node> expr vector_selector duration_expr positive_duration_expr offset_duration
%type <node> duration_call duration_literal
%type <links> function_call_body function_call_args label_match_list label_matchers
%type <links> grouping_labels grouping_label_list grouping_label maybe_grouping_labels label_matcher
%type <grouping> aggregate_modifier
%type <sides> bin_modifier bool_modifier on_or_ignoring group_modifiers
%type <number> signed_number number fill_value
%type <token> metric_identifier maybe_label aggregate_op unary_op match_op function_name min_max

/* From what binds least. */
%left OR
%left AND UNLESS
%left EQLC GTE GTR LSS LTE NEQ TRIM_UPPER TRIM_LOWER
%left ADD SUB
%left MUL DIV MOD ATAN2
%right POW
%precedence OFFSET AT ANCHORED SMOOTHED
%precedence LEFT_BRACKET

%start start

%%

start
    : BEGIN_EXPRESSION EOF          { promql_fail(parser, (struct promql_range){0, 0},
                                                  "no expression found in input");
                                      YYABORT; }
    | BEGIN_EXPRESSION expr EOF     { parser->result = $2; YYACCEPT; }
    | BEGIN_SELECTOR vector_selector EOF
                                    { parser->result = $2; YYACCEPT; }
    | error                         { UNEXPECTED("", ""); }
    ;

expr
    : aggregate_op aggregate_modifier function_call_body
                                    { MAKE($$, promql_make_aggregate(parser, $1, $2, $3, @$)); }
    | aggregate_op function_call_body aggregate_modifier
                                    { MAKE($$, promql_make_aggregate(parser, $1, $3, $2, @$)); }
    | aggregate_op function_call_body
                                    { MAKE($$, promql_make_aggregate(parser, $1, NULL, $2, @$)); }
    | aggregate_op error            { UNEXPECTED("aggregation", ""); }
    | expr ADD bin_modifier expr    { MAKE($$, promql_make_binary(parser, $1, PROMQL_ADD, $3, $4)); }
    | expr SUB bin_modifier expr    { MAKE($$, promql_make_binary(parser, $1, PROMQL_SUB, $3, $4)); }
    | expr MUL bin_modifier expr    { MAKE($$, promql_make_binary(parser, $1, PROMQL_MUL, $3, $4)); }
    | expr DIV bin_modifier expr    { MAKE($$, promql_make_binary(parser, $1, PROMQL_DIV, $3, $4)); }
    | expr MOD bin_modifier expr    { MAKE($$, promql_make_binary(parser, $1, PROMQL_MOD, $3, $4)); }
    | expr POW bin_modifier expr    { MAKE($$, promql_make_binary(parser, $1, PROMQL_POW, $3, $4)); }
    | expr ATAN2 bin_modifier expr  { MAKE($$, promql_make_binary(parser, $1, PROMQL_ATAN2, $3, $4)); }
    | expr EQLC bin_modifier expr   { MAKE($$, promql_make_binary(parser, $1, PROMQL_EQL, $3, $4)); }
    | expr NEQ bin_modifier expr    { MAKE($$, promql_make_binary(parser, $1, PROMQL_NEQ, $3, $4)); }
    | expr GTR bin_modifier expr    { MAKE($$, promql_make_binary(parser, $1, PROMQL_GTR, $3, $4)); }
    | expr LSS bin_modifier expr    { MAKE($$, promql_make_binary(parser, $1, PROMQL_LSS, $3, $4)); }
    | expr GTE bin_modifier expr    { MAKE($$, promql_make_binary(parser, $1, PROMQL_GTE, $3, $4)); }
    | expr LTE bin_modifier expr    { MAKE($$, promql_make_binary(parser, $1, PROMQL_LTE, $3, $4)); }
    | expr AND bin_modifier expr    { MAKE($$, promql_make_binary(parser, $1, PROMQL_AND, $3, $4)); }
    | expr OR bin_modifier expr     { MAKE($$, promql_make_binary(parser, $1, PROMQL_OR, $3, $4)); }
    | expr UNLESS bin_modifier expr { MAKE($$, promql_make_binary(parser, $1, PROMQL_UNLESS, $3, $4)); }
    | expr TRIM_UPPER bin_modifier expr
                                    { MAKE($$, promql_make_binary(parser, $1, PROMQL_TRIM_UPPER, $3, $4)); }
    | expr TRIM_LOWER bin_modifier expr
                                    { MAKE($$, promql_make_binary(parser, $1, PROMQL_TRIM_LOWER, $3, $4)); }
    | function_name function_call_body
                                    { MAKE($$, promql_make_call(parser, $1, $2, @$)); }
    | LEFT_PAREN expr RIGHT_PAREN   { MAKE($$, promql_make_paren(parser, $2, @$)); }
    | expr OFFSET offset_duration   { MAKE($$, promql_set_offset(parser, $1, $3, @$.end)); }
    | expr OFFSET error             { UNEXPECTED("offset", "number, duration, step(), or range()"); }
    | expr ANCHORED                 { MAKE($$, promql_set_extended(parser, $1, true)); }
    | expr SMOOTHED                 { MAKE($$, promql_set_extended(parser, $1, false)); }
    | expr AT signed_number         { MAKE($$, promql_set_time(parser, $1, $3, @$.end)); }
    | expr AT START LEFT_PAREN RIGHT_PAREN
                                    { MAKE($$, promql_set_time_of(parser, $1, PROMQL_AT_START, @$.end)); }
    | expr AT END LEFT_PAREN RIGHT_PAREN
                                    { MAKE($$, promql_set_time_of(parser, $1, PROMQL_AT_END, @$.end)); }
    | expr AT error                 { UNEXPECTED("@", "timestamp"); }
    | expr LEFT_BRACKET positive_duration_expr RIGHT_BRACKET
                                    { MAKE($$, promql_make_range(parser, $1, $3,
                                                                 promql_merge(@2, @4))); }
    | expr LEFT_BRACKET positive_duration_expr COLON positive_duration_expr RIGHT_BRACKET
                                    { MAKE($$, promql_make_subquery(parser, $1, $3, $5, @6.end)); }
    | expr LEFT_BRACKET positive_duration_expr COLON RIGHT_BRACKET
                                    { MAKE($$, promql_make_subquery(parser, $1, $3, NULL, @5.end)); }
    | expr LEFT_BRACKET positive_duration_expr COLON positive_duration_expr error
                                    { UNEXPECTED("subquery selector", "\"]\""); }
    | expr LEFT_BRACKET positive_duration_expr COLON error
                                    { UNEXPECTED("subquery selector",
                                                 "number, duration, step(), range(), or \"]\""); }
    | expr LEFT_BRACKET positive_duration_expr error
                                    { UNEXPECTED("subquery or range", "\":\" or \"]\""); }
    | expr LEFT_BRACKET error       { UNEXPECTED("subquery or range selector",
                                                 "number, duration, step(), or range()"); }
    | unary_op expr %prec MUL       { MAKE($$, promql_make_unary(parser, $1, $2)); }
    | NUMBER                        { MAKE($$, promql_make_number(parser, $1)); }
    | DURATION                      { MAKE($$, promql_make_number(parser, $1)); }
    | STRING                        { MAKE($$, promql_make_string(parser, $1)); }
    | vector_selector
    ;

/* ---- aggregations and functions ---- */

aggregate_modifier
    : BY grouping_labels            { MAKE($$, promql_make_grouping(parser, $2, false)); }
    | WITHOUT grouping_labels       { MAKE($$, promql_make_grouping(parser, $2, true)); }
    ;

function_name: IDENTIFIER | START | END | STEP | RANGE | MIN_OF | MAX_OF;

function_call_body
    : LEFT_PAREN function_call_args RIGHT_PAREN
                                    { $$ = $2; }
    | LEFT_PAREN RIGHT_PAREN        { MAKE($$, promql_links_none(parser)); }
    ;

function_call_args
    : function_call_args COMMA expr { const struct promql_link link = {.node = $3};
                                      MAKE($$, promql_links_add(parser, $1, &link)); }
    | expr                          { const struct promql_link link = {.node = $1};
                                      MAKE($$, promql_links_add(parser, NULL, &link)); }
    | function_call_args COMMA      { promql_fail(parser, @2, "trailing commas not allowed in "
                                                              "function call args");
                                      YYABORT; }
    ;

/* ---- between an operator and its right side ---- */

bin_modifier
    : group_modifiers
    | group_modifiers FILL fill_value
                                    { $$ = promql_fill($1, &$3, &$3); }
    | group_modifiers FILL_LEFT fill_value
                                    { $$ = promql_fill($1, &$3, NULL); }
    | group_modifiers FILL_RIGHT fill_value
                                    { $$ = promql_fill($1, NULL, &$3); }
    | group_modifiers FILL_LEFT fill_value FILL_RIGHT fill_value
                                    { $$ = promql_fill($1, &$3, &$5); }
    | group_modifiers FILL_RIGHT fill_value FILL_LEFT fill_value
                                    { $$ = promql_fill($1, &$5, &$3); }
    ;

bool_modifier
    : %empty                        { MAKE($$, promql_make_sides(parser, false)); }
    | BOOL                          { MAKE($$, promql_make_sides(parser, true)); }
    ;

on_or_ignoring
    : bool_modifier IGNORING grouping_labels
                                    { MAKE($$, promql_match_labels(parser, $1, $3, false)); }
    | bool_modifier ON grouping_labels
                                    { MAKE($$, promql_match_labels(parser, $1, $3, true)); }
    ;

group_modifiers
    : bool_modifier
    | on_or_ignoring
    | on_or_ignoring GROUP_LEFT maybe_grouping_labels
                                    { MAKE($$, promql_group_labels(parser, $1, $3, PROMQL_MANY_TO_ONE)); }
    | on_or_ignoring GROUP_RIGHT maybe_grouping_labels
                                    { MAKE($$, promql_group_labels(parser, $1, $3, PROMQL_ONE_TO_MANY)); }
    ;

fill_value
    : LEFT_PAREN signed_number RIGHT_PAREN
                                    { $$ = $2; }
    ;

maybe_grouping_labels
    : %empty                        { MAKE($$, promql_links_none(parser)); }
    | grouping_labels
    ;

grouping_labels
    : LEFT_PAREN grouping_label_list RIGHT_PAREN
                                    { $$ = $2; }
    | LEFT_PAREN grouping_label_list COMMA RIGHT_PAREN
                                    { $$ = $2; }
    | LEFT_PAREN RIGHT_PAREN        { MAKE($$, promql_links_none(parser)); }
    | error                         { UNEXPECTED("grouping opts", "\"(\""); }
    ;

grouping_label_list
    : grouping_label_list COMMA grouping_label
                                    { $$ = promql_links_join($1, $3); }
    | grouping_label
    | grouping_label_list error     { UNEXPECTED("grouping opts", "\",\" or \")\""); }
    ;

grouping_label
    : maybe_label                   { MAKE($$, promql_make_label(parser, $1)); }
    | error                         { UNEXPECTED("grouping opts", "label"); }
    ;

/* ---- selectors ---- */

vector_selector
    : metric_identifier label_matchers
                                    { MAKE($$, promql_make_selector(parser, &$1, $2, @$)); }
    | metric_identifier             { MAKE($$, promql_make_selector(parser, &$1, NULL, @$)); }
    | label_matchers                { MAKE($$, promql_make_selector(parser, NULL, $1, @$)); }
    ;

label_matchers
    : LEFT_BRACE label_match_list RIGHT_BRACE
                                    { $$ = $2; }
    | LEFT_BRACE label_match_list COMMA RIGHT_BRACE
                                    { $$ = $2; }
    | LEFT_BRACE RIGHT_BRACE        { MAKE($$, promql_links_none(parser)); }
    ;

label_match_list
    : label_match_list COMMA label_matcher
                                    { $$ = promql_links_join($1, $3); }
    | label_matcher
    | label_match_list error        { UNEXPECTED("label matching", "\",\" or \"}\""); }
    ;

label_matcher
    : IDENTIFIER match_op STRING    { MAKE($$, promql_make_matcher(parser, $1, $2.kind, $3)); }
    | STRING match_op STRING        { MAKE($$, promql_make_matcher(parser, $1, $2.kind, $3)); }
    | STRING                        { MAKE($$, promql_make_metric_name(parser, $1)); }
    | IDENTIFIER match_op error     { UNEXPECTED("label matching", "string"); }
    | STRING match_op error         { UNEXPECTED("label matching", "string"); }
    | IDENTIFIER error              { UNEXPECTED("label matching", "label matching operator"); }
    | error                         { UNEXPECTED("label matching", "identifier or \"}\""); }
    ;

match_op: EQL | NEQ | EQL_REGEX | NEQ_REGEX;

/* ---- durations ---- */

positive_duration_expr
    : duration_expr                 { MAKE($$, promql_check_duration(parser, $1, true)); }
    ;

offset_duration
    : duration_literal              { MAKE($$, promql_check_duration(parser, $1, false)); }
    | unary_op duration_literal     { MAKE($$, promql_sign_duration(parser, $1, $2)); }
    | duration_call
    | unary_op duration_call        { MAKE($$, promql_sign_duration(parser, $1, $2)); }
    | LEFT_PAREN duration_expr RIGHT_PAREN
                                    { MAKE($$, promql_wrap_duration(parser, $2)); }
    | unary_op LEFT_PAREN duration_expr RIGHT_PAREN
                                    { MAKE($$, promql_wrap_duration(parser, $3));
                                      MAKE($$, promql_sign_duration(parser, $1, $$)); }
    ;

duration_expr
    : duration_literal              { MAKE($$, promql_check_duration(parser, $1, false)); }
    | duration_call
    | unary_op duration_expr %prec MUL
                                    { MAKE($$, promql_sign_duration(parser, $1, $2)); }
    | duration_expr ADD duration_expr
                                    { MAKE($$, promql_make_duration(parser, PROMQL_ADD, $1, $3, @2)); }
    | duration_expr SUB duration_expr
                                    { MAKE($$, promql_make_duration(parser, PROMQL_SUB, $1, $3, @2)); }
    | duration_expr MUL duration_expr
                                    { MAKE($$, promql_make_duration(parser, PROMQL_MUL, $1, $3, @2)); }
    | duration_expr DIV duration_expr
                                    { MAKE($$, promql_make_duration(parser, PROMQL_DIV, $1, $3, @2)); }
    | duration_expr MOD duration_expr
                                    { MAKE($$, promql_make_duration(parser, PROMQL_MOD, $1, $3, @2)); }
    | duration_expr POW duration_expr
                                    { MAKE($$, promql_make_duration(parser, PROMQL_POW, $1, $3, @2)); }
    | LEFT_PAREN duration_expr RIGHT_PAREN
                                    { MAKE($$, promql_wrap_duration(parser, $2)); }
    ;

duration_literal
    : NUMBER                        { MAKE($$, promql_make_duration_literal(parser, $1)); }
    | DURATION                      { MAKE($$, promql_make_duration_literal(parser, $1)); }
    ;

duration_call
    : STEP LEFT_PAREN RIGHT_PAREN   { MAKE($$, promql_make_duration(parser, PROMQL_DUR_STEP, NULL,
                                                                    NULL, @$)); }
    | RANGE LEFT_PAREN RIGHT_PAREN  { MAKE($$, promql_make_duration(parser, PROMQL_DUR_RANGE, NULL,
                                                                    NULL, @$)); }
    | min_max LEFT_PAREN duration_expr COMMA duration_expr RIGHT_PAREN
                                    { MAKE($$, promql_make_duration(
                                                   parser,
                                                   $1.kind == T_MIN_OF ? PROMQL_DUR_MIN
                                                                       : PROMQL_DUR_MAX,
                                                   $3, $5, @$)); }
    ;

min_max: MIN_OF | MAX_OF;

/* ---- words ---- */

metric_identifier
    : AVG | BOTTOMK | BY | COUNT | COUNT_VALUES | GROUP | IDENTIFIER | AND | OR | UNLESS | MAX
    | METRIC_IDENTIFIER | MIN | OFFSET | QUANTILE | STDDEV | STDVAR | SUM | TOPK | WITHOUT | START
    | END | LIMITK | LIMIT_RATIO | STEP | RANGE | ANCHORED | SMOOTHED | MIN_OF | MAX_OF
    ;

maybe_label
    : AVG | BOOL | BOTTOMK | BY | COUNT | COUNT_VALUES | GROUP | GROUP_LEFT | GROUP_RIGHT
    | IDENTIFIER | IGNORING | AND | OR | UNLESS | MAX | METRIC_IDENTIFIER | MIN | OFFSET | ON
    | QUANTILE | STDDEV | STDVAR | SUM | TOPK | START | END | ATAN2 | LIMITK | LIMIT_RATIO | STEP
    | RANGE | ANCHORED | SMOOTHED | FILL | FILL_LEFT | FILL_RIGHT | MIN_OF | MAX_OF | WITHOUT
    | STRING
    ;

aggregate_op
    : AVG | BOTTOMK | COUNT | COUNT_VALUES | GROUP | MAX | MIN | QUANTILE | STDDEV | STDVAR | SUM
    | TOPK | LIMITK | LIMIT_RATIO
    ;

unary_op: ADD | SUB;

/* ---- numbers ---- */

signed_number
    : number
    | ADD number                    { $$ = $2; }
    | SUB number                    { $$ = -$2; }
    ;

number
    : NUMBER                        { if (!promql_token_number(parser, $1, &$$)) { YYABORT; } }
    | DURATION                      { if (!promql_token_number(parser, $1, &$$)) { YYABORT; } }
    ;

%%

static int promql_yylex(PROMQL_YYSTYPE *value, struct promql_range *at,
                        struct promql_parser *parser)
{
    int kind = parser->begin;

    if (kind != 0) {
        parser->begin = 0;
        *at = (struct promql_range){0, 0};
        return kind;
    }
    kind = promql_lex(parser);
    value->token = parser->lexer.token;
    *at = value->token.at;
    return kind;
}

/* Rules with `error` say what is wrong. This one knows of a stack that is full alone. */
static void promql_yyerror(struct promql_range *at, struct promql_parser *parser, const char *text)
{
    (void)at;
    (void)text;
    promql_fail_depth(parser);
}

static int yyreport_syntax_error(const yypcontext_t *context, struct promql_parser *parser)
{
    (void)context;
    (void)parser;
    return 0;
}
