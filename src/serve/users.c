/*
 * Logins.
 *
 *   worker ── digest of what was typed ── the user's own? ── granted, at once
 *                                            │ no
 *                                            ▼
 *            queue of jobs ──▶ the users' thread: yescrypt ──▶ right: digest is kept; granted
 *                                            │ wrong
 *                                            ▼
 *            queue of those who wait ── a second after it was asked ──▶ refused
 *
 * Invariants:
 *   1. A worker holds the lock for a search and a comparison of 32 bytes, one for each password of
 *      the user, never for a hash.
 *   2. A name that nobody has is hashed against another's hash, the decoy, and refused whatever
 * comes of it. So do users whose password came in the clear, as soon as one user has a hash: who
 *      measures time learns nothing of who there is.
 *   3. A job's function is called once, by the users' thread, with no lock held.
 *   4. What is granted is true of the table at that moment: a user whose hash a reload has changed
 *      while it was being tried is refused.
 *
 * Who waits for a second is bounded by the number of connections: each has one login at a time.
 *
 * One thread is enough: it hashes a hundred passwords a second, each once for each user and reload;
 * a flood of wrong ones takes one CPU of low priority, and who logged in before is not in its
 * queue. Of those who wait, the next is one of another peer than the last, if there is one, and no
 * peer fills the queue alone: so a flood from one address makes others wait for a hash, 10 ms, and
 * not for the flood. Many who come at once as one user, after a restart, wait for one hash
 * together.
 *
 * Who finds the queue full is refused untried, but no sooner than others: else a flood would come
 * as fast as it can connect.
 *
 * Locking: one mutex around the table and the queues. Memory: malloc; 1 KiB a job, wiped after use;
 * yescrypt maps its 16 MiB while it works, one at a time, which are not of the budget.
 *
 * Rejected: hashing in the loop (10 ms in which nobody is served); a pool of threads (each 16 MiB);
 * a cache by password (the digest is of the password alone, but it is looked up by the user).
 */
#include <serve/users.h>

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <os/os.h>

#include <serve/log.h>
#include <serve/users_table.h>

/* The users' thread is nicer than those that serve. */
#define THREAD_NICENESS 10

struct job {
    struct job *next;
    serve_login_done_function *done;
    void *argument;
    uint64_t due_ns;  /* of a refusal */
    bool is_decoy;    /* there is no such user, or it has no hash */
    bool is_too_long; /* the password: nobody's, though its beginning might be */
    uint64_t peer;
    uint8_t digest[SERVE_DIGEST_BYTES]; /* of what was typed */
    char name[SERVE_USER_NAME_BYTES_MAX + 1];
    char hash[SERVE_PASSWORD_HASH_BYTES]; /* "": nothing to try, only to wait */
    size_t password_bytes;
    char password[SERVE_PASSWORD_BYTES_MAX];
};

struct queue {
    struct job *first, *last;
    uint32_t count;
};

struct serve_users {
    struct serve_users_options options; /* const after init */
    uint8_t key[SERVE_DIGEST_BYTES];    /* const after init */
    struct os_mutex mutex;
    struct users_table table; /* guarded by mutex */
    struct queue tried;       /* guarded by mutex: for the thread to hash */
    struct queue waiting;     /* guarded by mutex: by due_ns */
    uint64_t last_peer;       /* guarded by mutex: of the login that was tried last */
    struct os_thread thread;
    void *stack;                  /* own; of the thread */
    _Atomic(uint32_t) has_thread; /* release by load, acquire by logins: the queues are seen to */
    _Atomic(uint32_t) bell;       /* rises when there is something to do; a futex */
    _Atomic(uint32_t) is_ending;  /* release by destroy, acquire by the thread */
};

struct serve_users_change {
    struct users_table table;
};

/* ---- queues --------------------------------------------------------------------------------- */

static void queue_put(struct queue *queue, struct job *job)
{
    job->next = NULL;
    if (queue->last != NULL) {
        queue->last->next = job;
    } else {
        queue->first = job;
    }
    queue->last = job;
    queue->count++;
}

static struct job *queue_take(struct queue *queue)
{
    struct job *job = queue->first;

    if (job != NULL) {
        queue->first = job->next;
        queue->last = queue->first != NULL ? queue->last : NULL;
        queue->count--;
    }
    return job;
}

/* By due_ns. Who was tried is due before those at the front, who was not, behind all: a short walk.
 */
static void queue_put_by_due(struct queue *queue, struct job *job)
{
    struct job **link = &queue->first;

    if (queue->last == NULL || queue->last->due_ns <= job->due_ns) {
        queue_put(queue, job);
        return;
    }
    while ((*link)->due_ns <= job->due_ns) {
        link = &(*link)->next;
    }
    job->next = *link;
    *link = job;
    queue->count++;
}

/* Takes the first of another peer; if there is none, the first. NULL: nobody waits. */
static struct job *queue_take_other(struct queue *queue, uint64_t peer)
{
    struct job *before = NULL, *job = queue->first;

    for (; job != NULL && job->peer == peer; job = job->next) {
        before = job;
    }
    if (job == NULL || before == NULL) {
        return queue_take(queue);
    }
    before->next = job->next;
    queue->last = queue->last == job ? before : queue->last;
    queue->count--;
    return job;
}

static uint32_t queue_count_of(const struct queue *queue, uint64_t peer)
{
    uint32_t count = 0;

    for (const struct job *job = queue->first; job != NULL; job = job->next) {
        count += job->peer == peer ? 1 : 0;
    }
    return count;
}

static void job_free(struct job *job)
{
    explicit_bzero(job, sizeof *job);
    free(job);
}

static void ring(struct serve_users *users)
{
    (void)atomic_add_release_u32(&users->bell, 1); /* pairs with the acquire before the wait */
    os_futex_wake(&users->bell, 1);
}

/* ---- the users' thread ---------------------------------------------------------------------- */

static void fill_identity(const struct user *user, struct serve_identity *ret_identity)
{
    Q_STATIC_ASSERT(sizeof ret_identity->name >= sizeof user->name, "names fit");
    *ret_identity = (struct serve_identity){.tenant = user->tenant, .rights = user->rights};
    memcpy(ret_identity->name, user->name, sizeof user->name);
}

/* Whether a digest of the user, or of one of his entries, is this one. */
static bool has_digest(const struct users_table *table, struct user *user,
                       const uint8_t digest[SERVE_DIGEST_BYTES])
{
    bool is_found = false;

    for (; user != NULL; user = users_table_next(table, user)) {
        is_found |= user->has_digest && serve_digest_is_equal(user->digest, digest);
    }
    return is_found;
}

/* Whether the digest says yes; else what is to be tried is written to the job. */
static bool look_up(struct serve_users *users, struct job *job, struct serve_identity *ret_identity)
{
    os_mutex_lock(&users->mutex);
    struct user *user = users_table_find(&users->table, job->name);
    bool is_granted = has_digest(&users->table, user, job->digest);
    const char *hash = user != NULL && user->hash != NULL ? user->hash : users->table.decoy;

    job->is_decoy = job->is_too_long || user == NULL || user->hash == NULL;
    job->hash[0] = '\0';
    if (is_granted) {
        fill_identity(user, ret_identity);
    } else if (hash != NULL) {
        memcpy(job->hash, hash, strlen(hash) + 1); /* a hash fits: it was one of crypt(5) */
    }
    os_mutex_unlock(&users->mutex);
    return is_granted;
}

/* Invariant 4, and the digest for the next time. */
static bool grant(struct serve_users *users, const struct job *job,
                  struct serve_identity *ret_identity)
{
    os_mutex_lock(&users->mutex);
    struct user *user = users_table_find(&users->table, job->name);
    bool is_granted = user != NULL && user->hash != NULL && strcmp(user->hash, job->hash) == 0;
    if (is_granted) {
        memcpy(user->digest, job->digest, sizeof job->digest);
        user->has_digest = true;
        fill_identity(user, ret_identity);
    }
    os_mutex_unlock(&users->mutex);
    return is_granted;
}

static void refuse(struct serve_users *users, struct job *job)
{
    os_mutex_lock(&users->mutex);
    queue_put_by_due(&users->waiting, job);
    os_mutex_unlock(&users->mutex);
}

static void try_password(struct serve_users *users, struct job *job)
{
    struct serve_identity identity = {0};

    /* Somebody else may have shown meanwhile that it is right. */
    if (look_up(users, job, &identity)) {
        job->done(job->argument, SERVE_LOGIN_GRANTED, &identity);
        job_free(job);
        return;
    }
    bool is_right = serve_password_verify(job->hash, job->password, job->password_bytes);

    if (is_right && !job->is_decoy && grant(users, job, &identity)) {
        job->done(job->argument, SERVE_LOGIN_GRANTED, &identity);
        job_free(job);
    } else {
        refuse(users, job);
    }
}

/* One that is due; NULL: none, and `ret_wait_ns` says for how long. */
static struct job *take_due(struct serve_users *users, uint64_t *ret_wait_ns)
{
    uint64_t now_ns = os_monotonic_ns(os_real());
    struct job *job = NULL;

    *ret_wait_ns = UINT64_MAX;
    os_mutex_lock(&users->mutex);
    if (users->waiting.first != NULL && users->waiting.first->due_ns <= now_ns) {
        job = queue_take(&users->waiting);
    } else if (users->waiting.first != NULL) {
        *ret_wait_ns = users->waiting.first->due_ns - now_ns;
    }
    os_mutex_unlock(&users->mutex);
    return job;
}

static struct job *take_tried(struct serve_users *users)
{
    os_mutex_lock(&users->mutex);
    struct job *job = queue_take_other(&users->tried, users->last_peer);
    users->last_peer = job != NULL ? job->peer : users->last_peer;
    os_mutex_unlock(&users->mutex);
    return job;
}

/* Does one thing, if there is one. Returns: how long there is nothing to do; 0: look again. */
static uint64_t turn(struct serve_users *users)
{
    uint64_t wait_ns = 0;
    struct job *job = take_due(users, &wait_ns);

    if (job != NULL) {
        job->done(job->argument, SERVE_LOGIN_REFUSED, NULL);
        job_free(job);
        return 0;
    }
    job = take_tried(users);
    if (job == NULL) {
        return wait_ns;
    }
    if (job->hash[0] != '\0') {
        try_password(users, job);
    } else {
        refuse(users, job);
    }
    return 0;
}

static void run(void *argument)
{
    struct serve_users *users = argument;

    (void)setpriority(PRIO_PROCESS, 0, THREAD_NICENESS); /* of this thread */
    while (atomic_load_acquire_u32(&users->is_ending) == 0) {
        uint32_t bell = atomic_load_acquire_u32(&users->bell); /* pairs with ring */
        uint64_t wait_ns = turn(users);
        if (wait_ns > 0) {
            os_futex_wait(&users->bell, bell, wait_ns);
        }
    }
}

static enum quarry_status start_thread(struct serve_users *users, struct quarry_error *error)
{
    users->stack = aligned_alloc(os_real()->page_bytes, OS_THREAD_STACK_BYTES);
    if (users->stack == NULL || os_thread_start(&users->thread, "quarry-users", users->stack,
                                                OS_THREAD_STACK_BYTES, run, users) != QUARRY_OK) {
        free(users->stack);
        users->stack = NULL;
        return error_set(error, QUARRY_NO_MEMORY, "no memory for the thread that checks passwords");
    }
    atomic_store_release_u32(&users->has_thread, 1);
    return QUARRY_OK;
}

/* ---- beginning and ending ------------------------------------------------------------------- */

enum quarry_status serve_users_create(const struct serve_users_options *options,
                                      struct serve_users **ret_users, struct quarry_error *error)
{
    struct serve_users *users = calloc(1, sizeof *users);

    if (users == NULL || !os_random(users->key, sizeof users->key)) {
        free(users);
        return error_set(error, QUARRY_NO_MEMORY, "no memory or no random numbers for users");
    }
    users->options = options != NULL ? *options : (struct serve_users_options){0};
    if (users->options.refusal_delay_ns == 0) {
        users->options.refusal_delay_ns = SERVE_LOGIN_DELAY_NS;
    }
    os_mutex_init(&users->mutex, OS_RANK_LEAF, 0);
    *ret_users = users;
    return QUARRY_OK;
}

enum quarry_status serve_users_prepare(struct serve_users *users, const struct serve_config *config,
                                       struct serve_users_change **ret_change,
                                       struct quarry_error *error)
{
    struct serve_users_change *change = calloc(1, sizeof *change);

    if (change == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for users");
    }
    struct users_reader reader = {
        .table = &change->table, .options = &users->options, .key = users->key};
    enum quarry_status status = users_read(&reader, config, error);
    if (status == QUARRY_OK) {
        status = users_table_sort(&change->table, error);
    }
    if (status == QUARRY_OK && change->table.count > 0 &&
        atomic_load_acquire_u32(&users->has_thread) == 0) {
        status = start_thread(users, error);
    }
    if (status != QUARRY_OK) {
        serve_users_abort(change);
        return status;
    }
    *ret_change = change;
    return QUARRY_OK;
}

void serve_users_abort(struct serve_users_change *change)
{
    if (change != NULL) {
        users_table_clear(&change->table);
        free(change);
    }
}

void serve_users_commit(struct serve_users *users, struct serve_users_change *change)
{
    struct users_table before;

    os_mutex_lock(&users->mutex);
    before = users->table;
    users->table = change->table;
    os_mutex_unlock(&users->mutex);
    change->table = before;
    serve_users_abort(change);
}

enum quarry_status serve_users_load(struct serve_users *users, const struct serve_config *config,
                                    struct quarry_error *error)
{
    struct serve_users_change *change = NULL;
    enum quarry_status status = serve_users_prepare(users, config, &change, error);

    if (status == QUARRY_OK) {
        serve_users_commit(users, change);
    }
    return status;
}

/* Tells those who wait in a queue that nothing comes of it. */
static void drop(struct queue *queue)
{
    for (struct job *job; (job = queue_take(queue)) != NULL;) {
        job->done(job->argument, SERVE_LOGIN_BUSY, NULL);
        job_free(job);
    }
}

void serve_users_destroy(struct serve_users *users)
{
    if (users == NULL) {
        return;
    }
    if (atomic_load_acquire_u32(&users->has_thread) != 0) {
        atomic_store_release_u32(&users->is_ending, 1); /* pairs with the thread's acquire */
        ring(users);
        os_thread_join(&users->thread);
        free(users->stack);
    }
    drop(&users->tried);
    drop(&users->waiting);
    users_table_clear(&users->table);
    explicit_bzero(users, sizeof *users);
    free(users);
}

uint32_t serve_users_count(struct serve_users *users)
{
    os_mutex_lock(&users->mutex);
    uint32_t count = users->table.name_count;
    os_mutex_unlock(&users->mutex);
    return count;
}

/* One of each name: entries of a name differ in their passwords alone, and are neighbours. */
static void copy_identities(const struct users_table *table, struct serve_identity *identities)
{
    size_t count = 0;

    for (uint32_t i = 0; i < table->count; i++) {
        if (i == 0 || strcmp(table->all[i].name, table->all[i - 1].name) != 0) {
            fill_identity(&table->all[i], &identities[count++]);
        }
    }
    Q_ASSERT(count == table->name_count);
}

/* The table may grow while there is no lock for the allocation: then there is another try. */
enum quarry_status serve_users_list(struct serve_users *users,
                                    struct serve_identity **ret_identities, size_t *ret_count)
{
    struct serve_identity *identities = NULL;
    size_t capacity, count;

    do {
        capacity = serve_users_count(users);
        free(identities);
        identities = calloc(capacity + 1, sizeof *identities);
        if (identities == NULL) {
            return QUARRY_NO_MEMORY;
        }
        os_mutex_lock(&users->mutex);
        count = users->table.name_count;
        if (count <= capacity) {
            copy_identities(&users->table, identities);
        }
        os_mutex_unlock(&users->mutex);
    } while (count > capacity);
    *ret_identities = identities;
    *ret_count = count;
    return QUARRY_OK;
}

bool serve_users_find(struct serve_users *users, const char *name,
                      struct serve_identity *ret_identity)
{
    os_mutex_lock(&users->mutex);
    const struct user *user = users_table_find(&users->table, name);
    if (user != NULL) {
        fill_identity(user, ret_identity);
    }
    os_mutex_unlock(&users->mutex);
    return user != NULL;
}

/* ---- logging in ----------------------------------------------------------------------------- */

/* The name as a string; what cannot be one is a name that nobody has: "". */
static void copy_name(const struct serve_login_request *request,
                      char name[SERVE_USER_NAME_BYTES_MAX + 1])
{
    bool is_name = request->name_bytes <= SERVE_USER_NAME_BYTES_MAX &&
                   memchr(request->name, '\0', request->name_bytes) == NULL;

    memset(name, 0, SERVE_USER_NAME_BYTES_MAX + 1);
    if (is_name) {
        memcpy(name, request->name, request->name_bytes);
    }
}

/* For the thread to try; where too many are, only to wait. */
static void enqueue(struct serve_users *users, struct job *job)
{
    os_mutex_lock(&users->mutex);
    bool has_room = users->tried.count < SERVE_LOGINS_WAITING_MAX &&
                    queue_count_of(&users->tried, job->peer) < SERVE_LOGINS_OF_PEER_MAX;
    if (has_room) {
        queue_put(&users->tried, job);
    } else {
        queue_put_by_due(&users->waiting, job);
    }
    os_mutex_unlock(&users->mutex);
    ring(users);
    if (!has_room) {
        serve_log(SERVE_LOG_WARNING, "too many logins at once: one was refused");
    }
}

static enum serve_login_outcome begin_job(struct serve_users *users,
                                          const struct serve_login_request *request,
                                          const struct job *plan)
{
    struct job *job = malloc(sizeof *job);

    if (job == NULL) {
        return SERVE_LOGIN_BUSY;
    }
    *job = *plan;
    job->due_ns = os_monotonic_ns(os_real()) + users->options.refusal_delay_ns;
    job->password_bytes = size_min(request->password_bytes, SERVE_PASSWORD_BYTES_MAX);
    memcpy(job->password, request->password, job->password_bytes);
    enqueue(users, job);
    return SERVE_LOGIN_PENDING;
}

enum serve_login_outcome serve_users_login(struct serve_users *users,
                                           const struct serve_login_request *request,
                                           serve_login_done_function *done, void *argument,
                                           struct serve_identity *ret_identity)
{
    struct job plan = {.done = done,
                       .argument = argument,
                       .peer = request->peer,
                       .is_too_long = request->password_bytes > SERVE_PASSWORD_BYTES_MAX};
    enum serve_login_outcome outcome = SERVE_LOGIN_GRANTED;

    Q_ASSERT(users != NULL && done != NULL && ret_identity != NULL);
    copy_name(request, plan.name);
    serve_password_digest(users->key, request->password, request->password_bytes, plan.digest);
    if (!look_up(users, &plan, ret_identity)) {
        outcome = atomic_load_acquire_u32(&users->has_thread) != 0
                      ? begin_job(users, request, &plan)
                      : SERVE_LOGIN_REFUSED;
    }
    explicit_bzero(&plan, sizeof plan);
    return outcome;
}
