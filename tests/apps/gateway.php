<?php
// Answers one request, run by PHP-FPM. What the query says it does before: `call` names a host that it calls for
// `/leaf/ID`, `say` is what it has a shell say, `ms` how long it waits. `/status-N` answers with that status code.

$action = basename(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
if (str_starts_with($action, 'status-')) {
    http_response_code((int) substr($action, 7));
}
$length = strlen(file_get_contents('php://input'));
if (isset($_GET['call'])) {
    file_get_contents("http://{$_GET['call']}/leaf/{$_GET['id']}");
}
if (isset($_GET['say'])) {
    shell_exec(": {$_GET['say']}");
}
usleep(1000 * (int) ($_GET['ms'] ?? 0));
echo str_repeat('x', $length);
