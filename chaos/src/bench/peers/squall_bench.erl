%% Squall's workload in plain Erlang: requester -> exchange -> one of five handlers -> straight back to the requester, four bytes
%% there and back, each request known by a reference. Each process reads commands from its standard input and ends with it.
%%
%% It is its own way for nodes to find each other, too (`-epmd_module`): their ports are in the environment, nothing is asked.
-module(squall_bench).
-export([main/1, exchange/2, handler/0]).
-export([start_link/0, register_node/2, register_node/3, listen_port_please/2, address_please/3, port_please/2, port_please/3,
         names/0, names/1]).

-define(HANDLERS, 5).
-define(TIMEOUT_MS, 5000).
-define(PATIENCE_MS, 30000).
%% Latencies are counted in these many buckets, which are numbered as by Squall's own histogram: 64 for each power of two.
-define(STEPS, 64).
-define(BUCKETS, 2240).
%% One request in so many is timed within one node: to look at the clock would cost as much as a good part of a request.
-define(TIMED_LOCAL, 8).
-define(TIMED_REMOTE, 1).

main(["wait"]) ->
    spawn(fun() -> say("ready"), commands(none, 1) end);
main(["local"]) ->
    spawn(fun() -> serve(node(), node(), ?TIMED_LOCAL) end);
main(["remote", Exchange, Handlers]) ->
    spawn(fun() ->
        [X, H] = [list_to_atom(Name ++ "@localhost") || Name <- [Exchange, Handlers]],
        found(X, ?PATIENCE_MS),
        found(H, ?PATIENCE_MS),
        serve(X, H, ?TIMED_REMOTE)
    end).

found(Node, Left) when Left > 0 ->
    case net_adm:ping(Node) of
        pong -> ok;
        pang -> timer:sleep(50), found(Node, Left - 50)
    end;
found(_, _) ->
    halt(1).

serve(AtExchange, AtHandlers, Timed) ->
    Handlers = [spawn(AtHandlers, ?MODULE, handler, []) || _ <- lists:seq(1, ?HANDLERS)],
    Exchange = spawn(AtExchange, ?MODULE, exchange, [Handlers, []]),
    say("ready"),
    commands(Exchange, Timed).

commands(Exchange, Timed) ->
    case io:get_line("") of
        Line when is_list(Line) ->
            ["ask" | Numbers] = string:lexemes(Line, " \n"),
            [InFlight, WarmUpUs, MeasuredUs] = [list_to_integer(Number) || Number <- Numbers],
            measure(Exchange, Timed, InFlight, WarmUpUs, MeasuredUs),
            commands(Exchange, Timed);
        _Ended ->
            halt(0)
    end.

%% The exchange: hands requests to its handlers in turn.
exchange([], Served) ->
    exchange(lists:reverse(Served), []);
exchange([Handler | Waiting], Served) ->
    receive
        {request, _, _, _} = Request -> Handler ! Request
    end,
    exchange(Waiting, [Handler | Served]).

handler() ->
    receive
        {request, Ref, From, Payload} -> From ! {reply, Ref, Payload}
    end,
    handler().

measure(Exchange, Timed, InFlight, WarmUpUs, MeasuredUs) ->
    Took = counters:new(?BUCKETS, [write_concurrency]),
    From = now_ns() + WarmUpUs * 1000,
    Window = {From, From + MeasuredUs * 1000},
    Askers = [spawn_monitor(fun() -> exit({asked, ask(Exchange, Window, Timed, Took, 0)}) end)
              || _ <- lists:seq(1, InFlight)],
    Ends = [receive {'DOWN', Monitor, process, Pid, Why} -> Why end || {Pid, Monitor} <- Askers],
    case [Why || Why <- Ends, not is_tuple(Why) orelse element(1, Why) =/= asked] of
        [] -> tell(lists:sum([Asked || {asked, Asked} <- Ends]), Took);
        [Why | _] -> say(["failed ", io_lib:format("~0p", [Why])])
    end.

tell(Asked, Took) ->
    Counts = [{Bucket, counters:get(Took, Bucket + 1)} || Bucket <- lists:seq(0, ?BUCKETS - 1)],
    say([io_lib:format("asked ~w took", [Asked]),
         [io_lib:format(" ~w:~w", [Bucket, Count]) || {Bucket, Count} <- Counts, Count > 0]]).

ask(Exchange, {From, Until} = Window, Timed, Took, Asked) ->
    untimed(Exchange, Asked, Asked + Timed - 1),
    Begun = now_ns(),
    request(Exchange, Asked + Timed),
    Ended = now_ns(),
    if
        Ended >= From, Ended =< Until -> counters:add(Took, bucket(Ended - Begun, 0) + 1, Timed);
        true -> ok
    end,
    if
        Ended < Until -> ask(Exchange, Window, Timed, Took, Asked + Timed);
        true -> Asked + Timed
    end.

untimed(_, Last, Last) ->
    ok;
untimed(Exchange, Number, Last) ->
    request(Exchange, Number + 1),
    untimed(Exchange, Number + 1, Last).

request(Exchange, Number) ->
    Payload = <<Number:32>>,
    Ref = make_ref(),
    Exchange ! {request, Ref, self(), Payload},
    receive
        {reply, Ref, Payload} -> ok
    after ?TIMEOUT_MS -> exit(timeout)
    end.

bucket(Value, Shift) when Value < 2 * ?STEPS -> min(Shift * ?STEPS + Value, ?BUCKETS - 1);
bucket(Value, Shift) -> bucket(Value bsr 1, Shift + 1).

now_ns() -> erlang:monotonic_time(nanosecond).

say(Text) -> io:put_chars([Text, "\n"]).

%% How nodes find each other.

start_link() -> ignore.

register_node(Name, Port) -> register_node(Name, Port, inet).
register_node(_Name, _Port, _Family) -> {ok, rand:uniform(3)}.

listen_port_please(Name, _Host) -> {ok, port(Name)}.

address_please(Name, _Host, _Family) -> {ok, {127, 0, 0, 1}, port(Name), 6}.

port_please(Name, _Host) -> {port, port(Name), 6}.
port_please(Name, Host, _Timeout) -> port_please(Name, Host).

names() -> {error, address}.
names(_Host) -> {error, address}.

port(Name) when is_atom(Name) -> port(atom_to_list(Name));
port(Name) -> list_to_integer(os:getenv("SQUALL_BENCH_PORT_" ++ Name)).
