/*
 * The terminal through ncurses: colours, sizes, keys, and giving it back whatever happens.
 *
 * Signals that would end the program only set a flag, which the next wait reports: the terminal is
 * given back by the main path, and never from inside a handler.
 *
 * One screen at a time, and one thread: ncurses knows no other way.
 */
#include <cli/screen.h>

#include <curses.h>
#include <signal.h>
#include <stdlib.h>

#define KEY_ESCAPE 27
/* How long to wait for the rest of a key's sequence before Escape is Escape. */
#define ESCAPE_DELAY_MS 25

static SCREEN *screen;
static volatile sig_atomic_t is_asked_to_end;

static void ask_to_end(int signal_number)
{
    (void)signal_number;
    is_asked_to_end = 1;
}

static void set_colours(void)
{
    if (!has_colors() || start_color() == ERR) {
        return;
    }
    short background = use_default_colors() == OK ? -1 : COLOR_BLACK;
    for (int i = 1; i < CANVAS_COLOURS; i++) {
        short colour = COLORS >= 256 ? canvas_looks[i].of_256 : canvas_looks[i].of_8;
        if (colour < 0 && background >= 0) {
            colour = COLOR_WHITE;
        }
        (void)init_pair((short)i, colour, background);
    }
}

bool screen_open(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = ask_to_end};

    screen = newterm(NULL, stdout, stdin);
    if (screen == NULL) {
        return false;
    }
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        (void)sigaction(signals[i], &action, NULL);
    }
    (void)cbreak();
    (void)noecho();
    (void)nonl();
    (void)keypad(stdscr, true);
    (void)set_escdelay(ESCAPE_DELAY_MS);
    (void)curs_set(0);
    set_colours();
    return true;
}

void screen_close(void)
{
    (void)endwin();
    delscreen(screen);
    screen = NULL;
}

void screen_size(uint32_t *ret_width, uint32_t *ret_height)
{
    int height, width;

    getmaxyx(stdscr, height, width);
    *ret_width = (uint32_t)width;
    *ret_height = (uint32_t)height;
}

static void show_cell(int row, int column, const struct canvas_cell *cell)
{
    const wchar_t text[2] = {(wchar_t)cell->character, L'\0'};
    attr_t attributes = canvas_looks[cell->colour].is_bold ? A_BOLD : A_NORMAL;
    short pair = has_colors() ? cell->colour : 0;
    cchar_t character;

    if (cell->colour == CANVAS_DIM) {
        attributes |= A_DIM;
    }
    (void)setcchar(&character, text, attributes, pair, NULL);
    (void)mvadd_wch(row, column, &character);
}

void screen_show(const struct canvas *canvas)
{
    int height, width;

    getmaxyx(stdscr, height, width);
    (void)erase();
    for (int row = 0; row < height && row < (int)canvas->height; row++) {
        for (int column = 0; column < width && column < (int)canvas->width; column++) {
            show_cell(row, column, &canvas->cell[(size_t)row * canvas->width + (size_t)column]);
        }
    }
    (void)refresh();
}

enum screen_event screen_wait(uint32_t timeout_ms)
{
    timeout((int)timeout_ms);
    int key = is_asked_to_end ? ERR : getch();

    if (is_asked_to_end || key == 'q' || key == 'Q' || key == KEY_ESCAPE) {
        return SCREEN_QUIT;
    }
    if (key == 'r' || key == ' ') {
        return SCREEN_AGAIN;
    }
    return key == KEY_RESIZE ? SCREEN_RESIZED : SCREEN_NOTHING;
}
