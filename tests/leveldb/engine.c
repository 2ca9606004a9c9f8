#include "engine.h"

#include "unit/base/cmocka_all.h"

#include <dlfcn.h>
#include <string.h>

/* A function's address; of another type than an object's, so its bytes are copied. */
static void find(const struct engine *engine, const char *symbol, void *member)
{
    void *address = dlsym(engine->library, symbol);

    if (address == NULL) {
        fail_msg("%s: no %s", engine->name, symbol);
    }
    memcpy(member, &address, sizeof(address));
}

void engine_load(struct engine *engine, const char *name, const char *path)
{
    *engine = (struct engine){.name = name, .library = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
    if (engine->library == NULL) {
        fail_msg("%s", dlerror());
    }
#define FIND(function) find(engine, "leveldb_" #function, &engine->function);
    ENGINE_FUNCTIONS(FIND)
#undef FIND
}
