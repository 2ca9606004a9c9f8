/*
 * The door of `serve`: what the program needs to run a server. Other folders include this header
 * and no other of the folder. README.md lists the parts in reading order.
 */
#ifndef QUARRY_SERVE_SERVE_H
#define QUARRY_SERVE_SERVE_H

#include <serve/config.h>
#include <serve/config_load.h>
#include <serve/confine_report.h>
#include <serve/door.h>
#include <serve/net.h>
#include <serve/password.h>
#include <serve/server.h>
#include <serve/log.h>

#endif
